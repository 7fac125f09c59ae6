//! The suite finds what is broken: memory with one fault at a time fails the cases whose promise the fault
//! breaks, and there is no case that no fault can fail.
//!
//! On one thread the turns of racing tasks are the same in every run, so that a fault is found always or
//! never.

mod broken;

use std::collections::BTreeSet;

use broken::{Broken, Fault};
use pflow_backend::conformance;

/// Each fault, and the cases that it must fail; it may fail others too.
const FAULTS: &[(Fault, &[&str])] = &[
    (Fault::DropsTheLastByte, &["reads::what_was_put_comes_back", "reads::a_large_object_comes_back_whole"]),
    (Fault::FindsFolders, &["reads::an_absent_key_is_none", "nesting::objects_survive_a_key_above_them"]),
    (
        Fault::CachesReads,
        &["handles::a_second_handle_sees_commits_at_once", "handles::conditions_hold_across_handles"],
    ),
    (
        Fault::VersionIsConstant,
        &["reads::versions_differ_where_bytes_differ", "racing::counting_by_swaps_loses_nothing"],
    ),
    (Fault::VersionIsTheLength, &["reads::versions_differ_where_bytes_differ"]),
    (Fault::CutsLongNames, &["keys::the_longest_names_are_keys"]),
    (Fault::FlattensNames, &["keys::neighbours_keep_apart"]),
    (Fault::LowersCase, &["keys::letters_keep_their_case"]),
    (
        Fault::LeavesEmptyFolders,
        &["nesting::a_name_may_become_a_folder_and_back", "nesting::a_folder_goes_with_its_last_object"],
    ),
    (
        Fault::MakesRoom,
        &["nesting::an_object_survives_a_key_below_it", "nesting::objects_survive_a_key_above_them"],
    ),
    (Fault::ListsByFolder, &["listing::lines_come_in_the_order_of_their_bytes"]),
    (
        Fault::AfterIsInclusive,
        &["listing::after_is_exclusive_wherever_it_stands", "listing::page_by_page_equals_whole"],
    ),
    (
        Fault::PrefixIsAString,
        &["listing::a_prefix_ends_at_a_slash", "listing::a_prefix_without_objects_is_empty"],
    ),
    (Fault::ListsAThousand, &["listing::thousands_are_listed_whole"]),
    (
        Fault::ListsByOffset,
        &[
            "listing::deleting_what_was_listed_hides_nothing",
            "listing::what_comes_meanwhile_disturbs_nothing",
        ],
    ),
    (Fault::SharesACursor, &["listing::a_listing_dropped_midway_changes_nothing"]),
    (
        Fault::HidesDotFiles,
        &["keys::dots_and_dashes_are_plain_letters", "keys::names_of_temporary_files_are_keys"],
    ),
    (Fault::ListsNoSizes, &["reads::get_stat_list_and_commit_agree"]),
    (Fault::IgnoresAbsent, &["conditions::absent_creates_once", "racing::of_many_creates_one_wins"]),
    (
        Fault::IgnoresIs,
        &[
            "conditions::is_refuses_a_version_that_was_replaced",
            "conditions::is_refuses_a_key_that_is_not_there",
            "conditions::a_conditional_delete_holds_or_is_unsupported",
            "racing::counting_by_swaps_loses_nothing",
        ],
    ),
    (Fault::RefusesEveryIs, &["conditions::is_swaps_the_version_it_names"]),
    (
        Fault::ChecksThenActs,
        &[
            "racing::of_many_creates_one_wins",
            "racing::of_many_swaps_one_wins",
            "racing::of_many_conditional_deletes_one_wins",
            "racing::counting_by_swaps_loses_nothing",
            "racing::creates_and_deletes_take_turns",
            "racing::transfers_between_two_keys_keep_the_sum",
            "racing::a_chain_of_records_has_no_gap",
        ],
    ),
    (
        Fault::DeletesNothing,
        &[
            "conditions::absent_holds_again_after_a_delete",
            "conditions::a_deleted_object_is_gone",
            "reads::a_write_is_read_by_whoever_asks_afterwards",
        ],
    ),
    (Fault::DeleteOfAbsentFails, &["conditions::deleting_what_is_not_there_succeeds"]),
    (Fault::RefusesEmptyBatches, &["batches::an_empty_batch_commits"]),
    (Fault::SkipsEmptyStages, &["batches::an_empty_stage_keeps_its_number"]),
    (Fault::ForgetsLaterStages, &["batches::every_operation_of_every_stage_happens"]),
    (Fault::CutsWideStages, &["batches::a_wide_stage_happens_whole"]),
    (Fault::ConflictsAreAtTheFirst, &["batches::a_conflict_names_its_operation"]),
    (Fault::KeepsTheStagesBeforeAConflict, &["batches::a_conflict_in_a_later_stage_leaves_what_it_says"]),
    (Fault::GoesOnBehindAConflict, &["batches::a_conflict_in_the_first_stage_stops_the_others"]),
    (
        Fault::OneByOne,
        &[
            "batches::a_key_twice_is_refused",
            "batches::a_key_below_another_is_refused",
            "racing::transfers_between_two_keys_keep_the_sum",
        ],
    ),
    (Fault::IgnoresTheLimit, &["batches::an_object_over_the_limit_is_refused"]),
    (
        Fault::StagesBackwards,
        &[
            "visibility::a_later_stage_is_never_seen_without_the_earlier_ones",
            "interruption::a_dropped_commit_leaves_the_old_or_the_new",
        ],
    ),
    (Fault::WritesInPlace, &["visibility::an_object_is_never_seen_torn_or_older_than_answered"]),
    (Fault::SwapsThroughAGap, &["visibility::a_swapped_object_is_always_listed"]),
    (Fault::BusyInCompany, &["racing::unconditional_puts_of_one_key_all_commit"]),
    (Fault::BeginsAtTheCall, &["interruption::a_commit_never_polled_never_happens"]),
    (
        Fault::DroppedCallsPoison,
        &["interruption::dropped_commits_hold_nobody_up", "interruption::a_dropped_read_changes_nothing"],
    ),
    (
        Fault::TakesItselfForAnother,
        &[
            "lost_replies::a_create_without_reply_is_no_conflict_with_itself",
            "lost_replies::a_swap_without_reply_is_no_conflict_with_itself",
            "lost_replies::a_batch_without_reply_keeps_its_order",
        ],
    ),
    (Fault::CloseChangesCapabilities, &["handles::capabilities_stay"]),
    (Fault::ClosesOnce, &["handles::closing_twice_is_fine"]),
    (Fault::CloseLosesTheLastWrite, &["handles::closing_keeps_everything"]),
    (Fault::DropLosesTheLastWrite, &["handles::dropping_a_handle_keeps_everything"]),
    (Fault::ClosedHandleLies, &["handles::a_closed_handle_loses_nothing"]),
];

#[tokio::test]
async fn every_fault_is_found_and_every_case_can_fail() {
    let sound = conformance::run(&Broken(Fault::None)).await;
    sound.assert_conformant();
    let mut never_failed: BTreeSet<&str> = sound.cases().map(|(name, _)| name).collect();
    let mut not_found = Vec::new();
    for (fault, expected) in FAULTS {
        let report = conformance::run(&Broken(*fault)).await;
        let failed: BTreeSet<&str> = report.failed().collect();
        not_found.extend(expected.iter().filter(|case| !failed.contains(*case)).map(|case| (fault, case)));
        never_failed.retain(|case| !failed.contains(case));
    }
    assert!(not_found.is_empty(), "these faults do not fail these cases: {not_found:#?}");
    assert!(never_failed.is_empty(), "no fault fails these cases: {never_failed:#?}");
}
