//! The conformance suite finds faults: a storage in memory with one fault fails the cases whose promise the
//! fault breaks, with a message that names the promise. Each case fails for at least one fault.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::broken::{Broken, Fault};
use pflow_backend::conformance::{self, Report, Verdict};

/// Each fault, the cases that it must fail (it may fail others too), and the words by which the report of one
/// of them names it.
const FAULTS: &[(Fault, &[&str], &str)] = &[
    (
        Fault::DropsTheLastByte,
        &[
            "reads::what_was_put_comes_back",
            "reads::a_large_object_comes_back_whole",
            "immutable::the_first_put_stores_the_object",
        ],
        "text has 8 bytes where 9 were put",
    ),
    (
        Fault::FindsFolders,
        &["reads::an_absent_key_is_none", "nesting::objects_survive_a_key_above_them"],
        "a name with keys below it is no object",
    ),
    (
        Fault::CachesReads,
        &["handles::a_second_handle_sees_commits_at_once", "handles::conditions_hold_across_handles"],
        "one handle put shared/a, and another reads it",
    ),
    (
        Fault::VersionIsConstant,
        &["reads::versions_differ_where_bytes_differ", "racing::counting_by_swaps_loses_nothing"],
        "bodies 0 and 1 differ, and both have the version",
    ),
    (
        Fault::VersionIsTheLength,
        &["reads::versions_differ_where_bytes_differ"],
        "bodies 1 and 2 differ, and both have the version 1",
    ),
    (
        Fault::VersionRestarts,
        &["conditions::a_version_never_returns_for_other_bytes"],
        "a version that starts again after a delete lets a stale condition hold",
    ),
    (
        Fault::EmptyIsMissing,
        &["reads::what_was_put_comes_back", "conditions::absent_creates_once"],
        "an object without bytes is an object",
    ),
    (
        Fault::StoresText,
        &["reads::what_was_put_comes_back"],
        "bytes are returned unchanged, also if they are no text",
    ),
    (
        Fault::StatIsOld,
        &["reads::get_stat_list_and_commit_agree"],
        "get and stat give a/b different versions",
    ),
    (
        Fault::ReadsVersionApart,
        &["visibility::a_version_is_read_with_its_own_bytes"],
        "get gave the bytes of write 0 with the version of write",
    ),
    (
        Fault::RangeIsOffByOne,
        &["ranges::a_range_gives_these_bytes", "ranges::an_empty_range_gives_no_bytes"],
        "get_range a/b 0..1 answered 2 bytes where an object of 4 bytes, as it says, has 1",
    ),
    (
        Fault::RangePastTheEndFails,
        &[
            "ranges::a_range_past_the_end_gives_what_is_there",
            "ranges::an_object_without_bytes_has_empty_ranges",
        ],
        "a range that ends after the end gives the bytes up to the end: get_range a 0..11 failed",
    ),
    (
        Fault::RangeBehindTheEndFails,
        &[
            "ranges::a_range_behind_the_end_gives_no_bytes",
            "ranges::an_object_without_bytes_has_empty_ranges",
        ],
        "a range that begins at or after the end gives no bytes: get_range a 10..11 failed",
    ),
    (
        Fault::EmptyRangeFails,
        &["ranges::an_empty_range_gives_no_bytes"],
        "an empty range gives no bytes: get_range a 0..0 failed",
    ),
    (
        Fault::RangeOfMissingIsEmpty,
        &["ranges::a_missing_key_has_no_range", "ranges::a_range_reads_what_was_committed_last"],
        "get_range finds a, which is not there",
    ),
    (
        Fault::RangeSizeIsItsOwn,
        &["ranges::a_range_gives_these_bytes"],
        "get_range says that a/b has 1 bytes, and 4 were put",
    ),
    (
        Fault::RangesAreCached,
        &["ranges::a_range_reads_what_was_committed_last"],
        "a commit that was answered is visible to every later read of a range",
    ),
    (
        Fault::RangeOfTwoVersions,
        &["visibility::a_range_is_of_one_version"],
        "a range is of one version: it has the bytes of write",
    ),
    (
        Fault::RangeVersionApart,
        &["visibility::a_range_is_of_one_version"],
        "get_range gave the bytes of write 0 with the version of write",
    ),
    (Fault::CutsLongNames, &["keys::the_longest_names_are_keys"], "were put; list finds"),
    (Fault::FlattensNames, &["keys::neighbours_keep_apart"], "a/b has other bytes"),
    (
        Fault::LowersCase,
        &["keys::letters_keep_their_case"],
        "\"Zebra\", \"apple\", \"mIXED/cASE\"] were put; list finds [\"apple\"",
    ),
    (
        Fault::LeavesEmptyFolders,
        &["nesting::a_name_may_become_a_folder_and_back", "nesting::a_folder_goes_with_its_last_object"],
        "a name is free once all keys below it were deleted",
    ),
    (
        Fault::MakesRoom,
        &["nesting::an_object_survives_a_key_below_it", "nesting::objects_survive_a_key_above_them"],
        "a put below an object leaves the object",
    ),
    (
        Fault::NeighboursAreAnIoError,
        &["nesting::an_object_survives_a_key_below_it", "nesting::objects_survive_a_key_above_them"],
        "a put of a/b, which is accepted or refused as InvalidInput (NotApplied)",
    ),
    (
        Fault::ListsByFolder,
        &["listing::lines_come_in_the_order_of_their_bytes"],
        "list does not come in the byte order of the keys",
    ),
    (
        Fault::AfterIsInclusive,
        &["listing::after_is_exclusive_wherever_it_stands", "listing::page_by_page_equals_whole"],
        "list after \"M/z\" begins with \"M/z\" itself",
    ),
    (
        Fault::PrefixIsAString,
        &["listing::a_prefix_ends_at_a_slash", "listing::a_prefix_without_objects_is_empty"],
        "a prefix ends at its slash: below \"a\" are",
    ),
    (Fault::PrefixIsAPattern, &["listing::a_prefix_is_no_pattern"], "the only key below \"a_b\" is a_b/1"),
    (Fault::PrefixIsARegex, &["listing::a_prefix_is_no_pattern"], "the only key below \"a.b\" is a.b/1"),
    (
        Fault::PrefixIgnoresCase,
        &["listing::a_prefix_is_no_pattern"],
        "the letters of a prefix keep their case",
    ),
    (Fault::PrefixIsFoundInside, &["listing::a_prefix_is_no_pattern"], "list finds [\"a_b/1\", \"z/a_b/1\"]"),
    (
        Fault::PrefixTakesItsEnd,
        &["listing::a_prefix_ends_at_a_slash"],
        "a prefix ends at its slash: below \"a\" are",
    ),
    (
        Fault::ListsAsADictionary,
        &["listing::lines_come_in_the_order_of_their_bytes"],
        "list does not come in the byte order of the keys",
    ),
    (Fault::ListsAThousand, &["listing::thousands_are_listed_whole"], "list ends with 1000 keys of 2100"),
    (
        Fault::PagesOverlap,
        &["listing::thousands_are_listed_whole"],
        "list finds many/0/00099 where many/0/00100 comes next",
    ),
    (
        Fault::ListingLocks,
        &["listing::deleting_what_was_listed_hides_nothing"],
        "a commit happens while a listing is open",
    ),
    (
        Fault::ListsByOffset,
        &[
            "listing::deleting_what_was_listed_hides_nothing",
            "listing::what_comes_meanwhile_disturbs_nothing",
        ],
        "list finds many/0/00170 where many/0/00100 comes next",
    ),
    (
        Fault::SharesACursor,
        &["listing::a_listing_dropped_midway_changes_nothing"],
        "a listing that was dropped changes no other",
    ),
    (
        Fault::HidesDotFiles,
        &["keys::dots_and_dashes_are_plain_letters", "keys::names_of_temporary_files_are_keys"],
        "\".git/x\", \"_\", \"a.\", \"b..c\", \"d/-\", \"d/...\", \"d/.e\", \"e.f.g\"] were put",
    ),
    (Fault::ListsNoSizes, &["reads::get_stat_list_and_commit_agree"], "a/b has 4096 bytes; list says [0]"),
    (
        Fault::IgnoresAbsent,
        &["conditions::absent_creates_once", "racing::of_many_creates_one_wins"],
        "the condition Absent on a/b (operation 0 of stage 0) does not hold, and the batch committed",
    ),
    (
        Fault::IgnoresIs,
        &[
            "conditions::is_refuses_a_version_that_was_replaced",
            "conditions::is_refuses_a_key_that_is_not_there",
            "conditions::a_conditional_delete_holds_or_is_unsupported",
            "racing::counting_by_swaps_loses_nothing",
        ],
        "on a (operation 0 of stage 0) does not hold, and the batch committed",
    ),
    (
        Fault::RefusesEveryIs,
        &["conditions::is_swaps_the_version_it_names"],
        "conditions that held met a conflict",
    ),
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
            "immutable::of_many_different_puts_one_succeeds",
        ],
        "of 16 commits under one condition on created/0 exactly one happens",
    ),
    (
        Fault::DeletesNothing,
        &[
            "conditions::absent_holds_again_after_a_delete",
            "conditions::a_deleted_object_is_gone",
            "reads::a_write_is_read_by_every_later_read",
        ],
        "a/b was deleted: get finds a/b",
    ),
    (
        Fault::DeleteOfAbsentFails,
        &["conditions::deleting_what_is_not_there_succeeds"],
        "a delete of a missing key commits",
    ),
    (Fault::RefusesEmptyBatches, &["batches::an_empty_batch_commits"], "a batch without operations commits"),
    (
        Fault::SkipsEmptyStages,
        &["batches::an_empty_stage_keeps_its_number"],
        "have [0, 1, 0] operations, and its Versions [1] places",
    ),
    (
        Fault::NoPlaceForDeletes,
        &["batches::versions_have_a_place_for_every_operation"],
        "every operation has a place, an empty one if it is a delete",
    ),
    (
        Fault::ForgetsLaterStages,
        &["batches::every_operation_of_every_stage_happens"],
        "every operation of every stage happens: head",
    ),
    (
        Fault::CutsWideStages,
        &["batches::a_wide_stage_happens_whole"],
        "every operation of a stage of 300 happens",
    ),
    (
        Fault::ConflictsAreAtTheFirst,
        &["batches::a_conflict_names_its_operation"],
        "does not hold, and the conflict names operation 0 of stage 0",
    ),
    (
        Fault::ConflictIsAnError,
        &["conditions::absent_creates_once"],
        "does not hold, which is a Conflict and no error",
    ),
    (
        Fault::ConflictNamesNothing,
        &["conditions::absent_creates_once"],
        "the conflict says that it found None at a/b",
    ),
    (
        Fault::OvertakenThoughExact,
        &["conditions::absent_creates_once"],
        "a backend with exact conflicts answers Overtaken",
    ),
    (
        Fault::TakesEqualBytesForItsOwn,
        &["conditions::absent_creates_once"],
        "with exact conflicts the same bytes of another client are a conflict",
    ),
    (
        Fault::DoesNotOverwrite,
        &["conditions::always_creates_and_overwrites"],
        "a put without a condition replaces what is there",
    ),
    (
        Fault::DeletesWhateverIsThere,
        &["conditions::a_conditional_delete_holds_or_is_unsupported"],
        "on a (operation 0 of stage 0) does not hold, and the batch committed",
    ),
    (
        Fault::AttemptResolves,
        &["conditions::an_attempt_is_not_taken_for_its_own_copy"],
        "attempt returns the answer of the storage and resolves nothing",
    ),
    (
        Fault::WritesBehindTheAnswer,
        &["reads::a_write_is_read_by_every_later_read"],
        "a commit that was answered is visible to every later read",
    ),
    (
        Fault::AppliesOneByOne,
        &["visibility::an_atomic_batch_is_never_seen_in_part"],
        "an atomic batch was seen in part",
    ),
    (
        Fault::KeepsTheStagesBeforeAConflict,
        &["batches::a_conflict_in_a_later_stage_leaves_what_it_says"],
        "the conflict says that 0 stages stay, and 0/new of stage 0 holds",
    ),
    (
        Fault::GoesOnBehindAConflict,
        &["batches::a_conflict_in_the_first_stage_stops_the_others"],
        "after a conflict in the first stage nothing of the batch happens",
    ),
    (
        Fault::OneByOne,
        &[
            "batches::a_key_twice_is_refused",
            "batches::a_key_below_another_is_refused",
            "racing::transfers_between_two_keys_keep_the_sum",
        ],
        "a batch that breaks a rule of Batch::check was not refused as InvalidInput",
    ),
    (
        Fault::IgnoresTheLimit,
        &["batches::an_object_over_the_limit_is_refused"],
        "a batch that breaks a rule of Batch::check was not refused as InvalidInput",
    ),
    (
        Fault::StagesBackwards,
        &[
            "visibility::a_later_stage_is_never_seen_without_the_earlier_ones",
            "interruption::a_dropped_commit_leaves_the_old_or_the_new",
        ],
        "a reader saw a later stage of batch",
    ),
    (
        Fault::WritesInPlace,
        &[
            "visibility::an_object_is_never_seen_torn_or_older_than_answered",
            "visibility::an_immutable_object_is_seen_whole_or_not_at_all",
        ],
        "a reader sees a write whole",
    ),
    (
        Fault::SwapsThroughAGap,
        &["visibility::a_swapped_object_is_always_listed"],
        "an object that is replaced is always listed",
    ),
    (
        Fault::BusyInCompany,
        &["racing::unconditional_puts_of_one_key_all_commit"],
        "commits that race are waited for, or answered as a Conflict: A commit failed as Busy",
    ),
    (
        Fault::FailsInCompany,
        &["racing::unconditional_puts_of_one_key_all_commit"],
        "commits that race are waited for, or answered as a Conflict: A commit failed as Io",
    ),
    (
        Fault::BlocksItsThread,
        &["polling::a_durable_commit_does_not_work_on_the_polling_thread"],
        "it blocked the thread that polled it",
    ),
    (
        Fault::ReadsOnItsThread,
        &["polling::no_call_works_on_the_polling_thread"],
        r#"these calls worked on the thread that polled them, and blocked it: ["get", "stat""#,
    ),
    (
        Fault::BeginsAtTheCall,
        &["interruption::a_commit_never_polled_never_happens"],
        "a commit that was never polled did not begin",
    ),
    (
        Fault::DroppedCallsPoison,
        &["interruption::dropped_commits_hold_no_other_up", "interruption::a_dropped_read_changes_nothing"],
        "reads that were dropped stop no commit",
    ),
    (
        Fault::KeptCallsHaveTheTurn,
        &["interruption::calls_that_are_kept_hold_no_other_up"],
        "a get waits for calls whose futures are kept without being polled again",
    ),
    (
        Fault::TakesItselfForAnother,
        &[
            "lost_replies::a_create_without_reply_is_no_conflict_with_itself",
            "lost_replies::a_swap_without_reply_is_no_conflict_with_itself",
            "lost_replies::a_batch_without_reply_keeps_its_order",
        ],
        "is called a conflict, which is with its own first copy",
    ),
    (
        Fault::ImmutableOverwrites,
        &["immutable::other_bytes_are_a_conflict", "immutable::of_many_different_puts_one_succeeds"],
        "the condition Absent on chunks/0 (operation 0 of stage 0) does not hold, and the batch committed",
    ),
    (
        Fault::EqualImmutableIsAConflict,
        &[
            "immutable::equal_bytes_succeed_again",
            "immutable::equal_bytes_let_the_batch_go_on",
            "immutable::a_dropped_batch_may_be_repeated",
            "immutable::a_put_without_reply_may_be_repeated",
            "immutable::of_many_equal_puts_all_succeed",
        ],
        "an immutable put succeeds if its key holds equal bytes: conditions that held met a conflict",
    ),
    (
        Fault::EqualLengthIsEqual,
        &["immutable::other_bytes_are_a_conflict"],
        "the condition Absent on chunks/0 (operation 0 of stage 0) does not hold, and the batch committed",
    ),
    (
        Fault::ImmutableNamesItsOwnVersion,
        &["immutable::equal_bytes_succeed_again", "immutable::equal_bytes_let_the_batch_go_on"],
        "and the answer says Some(Version(of its own))",
    ),
    (
        Fault::NoPlaceForStored,
        &["immutable::equal_bytes_succeed_again", "immutable::equal_bytes_let_the_batch_go_on"],
        "the stages of a batch have [1] operations, and its Versions [0] places",
    ),
    (
        Fault::EqualImmutableEndsTheBatch,
        &["immutable::equal_bytes_let_the_batch_go_on"],
        "the batch goes on after equal bytes",
    ),
    (
        Fault::ImmutableTakesAnyCondition,
        &["immutable::another_condition_is_refused"],
        "a batch that breaks a rule of Batch::check was not refused as InvalidInput",
    ),
    (
        Fault::ImmutableIsOvertaken,
        &["immutable::other_bytes_are_a_conflict", "immutable::of_many_different_puts_one_succeeds"],
        "what is written once cannot be overtaken: the condition Absent on chunks/0",
    ),
    (
        Fault::DeniesItsCommit,
        &["failures::a_commit_that_fails_after_its_point_is_not_denied"],
        "says that it did not happen (NotApplied, 0 stages), and a reader finds it",
    ),
    (
        Fault::SwallowsAFailedCommit,
        &["failures::a_commit_that_fails_before_its_point_is_not_confirmed"],
        "a failed commit was answered as Committed, and a reader does not find it",
    ),
    (
        Fault::UnknownIsBusy,
        &["failures::a_commit_that_fails_before_its_point_is_not_confirmed"],
        "a failed commit is Busy, which means that it was not begun, and its outcome is Unknown",
    ),
    (
        Fault::UnreachableIsEmpty,
        &["failures::a_failed_read_is_an_error_and_never_unknown"],
        "the storage cannot be reached, and get answers None",
    ),
    (
        Fault::UnknownReads,
        &["failures::a_failed_read_is_an_error_and_never_unknown"],
        "A read changes nothing and is never unknown",
    ),
    (
        Fault::CloseChangesCapabilities,
        &["handles::capabilities_stay"],
        "the capabilities changed after a close",
    ),
    (Fault::ClosesOnce, &["handles::closing_twice_is_fine"], "a handle may be closed again: A close failed"),
    (Fault::CloseLosesTheLastWrite, &["handles::closing_keeps_everything"], "a close loses no commit"),
    (
        Fault::DropLosesTheLastWrite,
        &["handles::dropping_a_handle_keeps_everything"],
        "a handle that is dropped loses no commit",
    ),
    (
        Fault::ClosedHandleLies,
        &["handles::a_closed_handle_loses_nothing"],
        "a closed handle answered a commit as Committed",
    ),
    (
        Fault::ClosedHandleFindsNothing,
        &["handles::a_closed_handle_reads_the_truth_or_is_unavailable"],
        "a/b was put, and get does not find it after a close",
    ),
    (
        Fault::InstancePerHandle,
        &["places::an_instance_is_one_place_and_stays"],
        "a place keeps its instance: it was",
    ),
    (Fault::InstanceEndsWithAClose, &["places::an_instance_is_one_place_and_stays"], "after a close"),
    (
        Fault::InstanceIsCopied,
        &["places::an_instance_is_one_place_and_stays"],
        "two places have the same instance, copied",
    ),
];

/// Runs the suite for one fault. On one thread racing tasks take turns in the same order in every run, so a
/// fault is found always or never.
fn report(fault: Fault) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(conformance::run(&Broken::by(fault)))
}

/// Runs the suite for all faults on all processors and returns the reports.
fn reports() -> Vec<Report> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mine = std::iter::from_fn(|| {
            let number = next.fetch_add(1, Ordering::SeqCst);
            FAULTS.get(number).map(|(fault, ..)| (number, report(*fault)))
        });
        mine.collect::<Vec<_>>()
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut reports: Vec<(usize, Report)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    reports.sort_by_key(|(number, _)| *number);
    reports.into_iter().map(|(_, report)| report).collect()
}

#[test]
fn every_fault_is_named_and_every_case_can_fail() {
    let sound = report(Fault::None);
    sound.assert_conformant();
    assert_eq!(sound.skipped().count(), 0, "{sound}");
    let mut never_failed: BTreeSet<&str> = sound.cases().map(|(name, _)| name).collect();
    let mut not_found = Vec::new();
    let mut not_named = Vec::new();
    for ((fault, expected, words), report) in FAULTS.iter().zip(reports()) {
        let failed: BTreeSet<&str> = report.failed().collect();
        not_found.extend(expected.iter().filter(|case| !failed.contains(*case)).map(|case| (fault, case)));
        never_failed.retain(|case| !failed.contains(case));
        let mut reasons = report.cases().filter_map(|(case, verdict)| match verdict {
            Verdict::Failed(reason) => expected.contains(&case).then_some(reason),
            _ => None,
        });
        if !reasons.any(|reason| reason.contains(words)) {
            not_named.push((fault, words, report.to_string()));
        }
    }
    assert!(not_found.is_empty(), "these faults do not fail these cases: {not_found:#?}");
    for (fault, words, report) in &not_named {
        println!("{fault:?} is not named by {words:?}:\n{report}");
    }
    assert!(not_named.is_empty(), "{} faults are not named", not_named.len());
    assert!(never_failed.is_empty(), "no fault fails these cases: {never_failed:#?}");
}

#[test]
fn unknown_commit_may_happen_later() {
    report(Fault::UnknownHappensLater).assert_conformant();
}
