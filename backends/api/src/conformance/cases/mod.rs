//! All cases, in one file for each group. A case is named for the guarantee that it checks.

mod batches;
mod conditions;
mod failures;
mod handles;
mod immutable;
mod interruption;
mod keys;
mod listing;
mod lost_replies;
mod nesting;
mod places;
mod polling;
mod racing;
mod ranges;
mod reads;
mod visibility;

use futures::future::BoxFuture;

use super::{check::Checked, ground::Ground};

/// A guarantee, and the check for it.
pub(super) struct Case {
    /// `group::promise`.
    pub(super) name: &'static str,
    /// Runs the check, on [storages](Self::storages) of its own.
    pub(super) run: for<'a> fn(&'a Ground) -> BoxFuture<'a, Checked>,
}

impl Case {
    /// How many storages it needs: those of the group `places` have two.
    pub(super) fn storages(&self) -> usize {
        if self.name.starts_with("places::") { 2 } else { 1 }
    }
}

macro_rules! cases {
    ($($group:ident { $($promise:ident),+ $(,)? })+) => {
        &[$($(Case {
            name: concat!(stringify!($group), "::", stringify!($promise)),
            run: |ground| Box::pin($group::$promise(ground)),
        }),+),+]
    };
}

/// All cases in the order in which they run: later cases rely on what earlier ones check.
pub(super) const CASES: &[Case] = cases! {
    reads {
        an_absent_key_is_none,
        what_was_put_comes_back,
        a_large_object_comes_back_whole,
        get_stat_list_and_commit_agree,
        versions_differ_where_bytes_differ,
        a_write_is_read_by_every_later_read,
    }
    ranges {
        a_range_gives_these_bytes,
        a_range_past_the_end_gives_what_is_there,
        a_range_behind_the_end_gives_no_bytes,
        an_empty_range_gives_no_bytes,
        an_object_without_bytes_has_empty_ranges,
        a_missing_key_has_no_range,
        a_range_reads_what_was_committed_last,
    }
    conditions {
        absent_creates_once,
        absent_holds_again_after_a_delete,
        is_swaps_the_version_it_names,
        is_refuses_a_version_that_was_replaced,
        is_refuses_a_key_that_is_not_there,
        a_version_never_returns_for_other_bytes,
        always_creates_and_overwrites,
        deleting_what_is_not_there_succeeds,
        a_deleted_object_is_gone,
        a_conditional_delete_holds_or_is_unsupported,
        an_attempt_is_not_taken_for_its_own_copy,
    }
    batches {
        an_empty_batch_commits,
        an_empty_stage_keeps_its_number,
        every_operation_of_every_stage_happens,
        versions_have_a_place_for_every_operation,
        a_wide_stage_happens_whole,
        a_conflict_names_its_operation,
        a_conflict_in_the_first_stage_stops_the_others,
        a_conflict_in_a_later_stage_leaves_what_it_says,
        a_key_twice_is_refused,
        a_key_below_another_is_refused,
        an_object_over_the_limit_is_refused,
    }
    immutable {
        the_first_put_stores_the_object,
        equal_bytes_succeed_again,
        equal_bytes_let_the_batch_go_on,
        other_bytes_are_a_conflict,
        another_condition_is_refused,
        a_dropped_batch_may_be_repeated,
        a_put_without_reply_may_be_repeated,
        of_many_equal_puts_all_succeed,
        of_many_different_puts_one_succeeds,
    }
    keys {
        the_longest_names_are_keys,
        dots_and_dashes_are_plain_letters,
        names_of_temporary_files_are_keys,
        neighbours_keep_apart,
        letters_keep_their_case,
    }
    nesting {
        a_name_may_become_a_folder_and_back,
        a_folder_goes_with_its_last_object,
        an_object_survives_a_key_below_it,
        objects_survive_a_key_above_them,
    }
    listing {
        lines_come_in_the_order_of_their_bytes,
        a_prefix_ends_at_a_slash,
        a_prefix_is_no_pattern,
        a_prefix_without_objects_is_empty,
        after_is_exclusive_wherever_it_stands,
        page_by_page_equals_whole,
        thousands_are_listed_whole,
        deleting_what_was_listed_hides_nothing,
        what_comes_meanwhile_disturbs_nothing,
        a_listing_dropped_midway_changes_nothing,
    }
    visibility {
        a_later_stage_is_never_seen_without_the_earlier_ones,
        an_atomic_batch_is_never_seen_in_part,
        an_object_is_never_seen_torn_or_older_than_answered,
        an_immutable_object_is_seen_whole_or_not_at_all,
        a_version_is_read_with_its_own_bytes,
        a_range_is_of_one_version,
        a_swapped_object_is_always_listed,
    }
    racing {
        of_many_creates_one_wins,
        of_many_swaps_one_wins,
        of_many_conditional_deletes_one_wins,
        counting_by_swaps_loses_nothing,
        unconditional_puts_of_one_key_all_commit,
        creates_and_deletes_take_turns,
        transfers_between_two_keys_keep_the_sum,
        a_chain_of_records_has_no_gap,
    }
    polling {
        a_durable_commit_does_not_work_on_the_polling_thread,
        no_call_works_on_the_polling_thread,
    }
    interruption {
        a_commit_never_polled_never_happens,
        a_dropped_commit_leaves_the_old_or_the_new,
        dropped_commits_hold_no_other_up,
        calls_that_are_kept_hold_no_other_up,
        a_dropped_read_changes_nothing,
    }
    lost_replies {
        a_create_without_reply_is_no_conflict_with_itself,
        a_swap_without_reply_is_no_conflict_with_itself,
        a_batch_without_reply_keeps_its_order,
    }
    failures {
        a_commit_that_fails_before_its_point_is_not_confirmed,
        a_commit_that_fails_after_its_point_is_not_denied,
        a_failed_read_is_an_error_and_never_unknown,
    }
    handles {
        capabilities_stay,
        a_second_handle_sees_commits_at_once,
        conditions_hold_across_handles,
        closing_twice_is_fine,
        closing_keeps_everything,
        dropping_a_handle_keeps_everything,
        a_closed_handle_loses_nothing,
        a_closed_handle_reads_the_truth_or_is_unavailable,
    }
    places {
        an_instance_is_one_place_and_stays,
    }
};
