//! The rules of page 8 as switches, and its times in ticks.
//!
//! Each field is one rule, or a part of one that can be broken by itself, with the number on the
//! page that it belongs to. Where the page says less than its line here, this is what it takes.

/// How long a writer may rely on a sync.
pub(crate) const WINDOW: u8 = 1;

/// Between condemning and sweeping: more than two windows. (The page asks for 20: the model finds
/// how many are needed, the rest is for what no model knows.)
pub(crate) const GRACE: u8 = 3;

/// How old an object must be before it is condemned: longer than the runs that keep a promise.
pub(crate) const CONDEMN_AGE: u8 = 3;

/// How long a forgotten snapshot stays live.
pub(crate) const STAYS_LIVE: u8 = 3;

/// How old a forget may be for an unforget; with two windows, still below [`STAYS_LIVE`].
pub(crate) const UNFORGET_LIMIT: u8 = 0;

/// From this age on nothing depends on an age any more.
pub(crate) const OLD: u8 = 3;

macro_rules! rules {
    ($($(#[$doc:meta])* $field:ident: $number:literal,)*) => {
        /// Which rules hold.
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct Rules {
            $($(#[$doc])* pub(crate) $field: bool,)*
        }

        impl Rules {
            /// All rules.
            pub(crate) const ALL: Self = Self { $($field: true,)* };

            /// The names of the rules, with their numbers on the page.
            pub(crate) const NAMES: &[(&str, &str)] = &[$((stringify!($field), $number),)*];

            /// Returns all rules but one.
            pub(crate) fn without(name: &str) -> Self {
                let mut rules = Self::ALL;
                match name {
                    $(stringify!($field) => rules.$field = false,)*
                    _ => panic!("no rule is called {name}"),
                }
                rules
            }
        }
    };
}

rules! {
    /// Packs are durable before a record names them.
    packs_first: "1",
    /// What a snapshot needs and does not find is stored.
    snapshot_complete: "2",
    /// A writer whose lane is not as it remembers begins a new one.
    new_lane: "5",
    /// Coverage goes by hashes; else by lane and sequence.
    coverage_by_hash: "6",
    /// A view names no record that is listed and cannot be read.
    view_is_read: "7, tip",
    /// Nor one after a gap in its lane.
    view_has_no_gaps: "7, chain",
    /// Who reads all of the log names the tips of both places.
    view_of_both_places: "7, both places",
    /// All of `log/g` is read, covered or not.
    log_g_read_whole: "7, covered",
    /// What a checkpoint replaces says nothing about places any more.
    replaced_is_silent: "17, replaced",
    /// A writer relies only on what stands in its view.
    rely_on_standing: "8",
    /// What only a late record says makes nothing stand.
    late_places_distrusted: "8, late",
    /// The parent is not forgotten.
    parent_unforgotten: "9",
    /// Nor late without a good verdict.
    parent_in_time: "9, late",
    /// Sync again after a window. (In ticks this rule and 11 bound one span together.)
    sync_again: "10",
    /// The writer's own packs are looked up too.
    own_packs_checked: "10, own packs",
    /// A PUT of a record is not retried for longer than a window.
    put_bounded: "11",
    /// Packs from the journal are listed and not condemned.
    adopted_checked: "14",
    /// What live snapshots need is not condemned.
    condemn_unneeded: "20",
    /// Nor what is young.
    condemn_old: "21",
    /// An unforget comes early.
    unforget_early: "22",
    /// What an unforget brings back stands.
    unforget_checked: "22, standing",
    /// No record is condemned that no checkpoint covers.
    record_covered: "23, records",
    /// No segment that an uncovered checkpoint names.
    segment_replaced: "23, segments",
    /// The grace passes.
    grace: "24",
    /// By the store's clock.
    grace_by_store: "24, store's clock",
    /// By the sweeper's.
    grace_by_own: "24, own clock",
    /// A sweep decides again.
    decide_again: "25",
    /// Deltas stand only on bases that stand.
    bases_first: "26",
    /// A sweep's view is that of the listing it decided from.
    view_of_listing: "25, view",
    /// A sweep deletes log records only if whoever it has read is covered, or knows of it.
    log_sweep_covered: "27, log",
    /// The sweep is durable before it deletes.
    sweep_first: "27",
    /// In a replicated repository, every lane has seen the condemnation.
    replicas_wait: "28",
    /// Late records are told from the log.
    lateness: "32",
    /// A heal looks at what stands, not at what is present.
    heal_by_standing: "33",
    /// A heal that is late itself says nothing.
    heal_in_time: "34",
    /// A checkpoint covers by name, not by lane and sequence.
    names_by_hash: "35",
    /// Its segments hold everything.
    segments_complete: "36",
    /// They are durable before it.
    segments_first: "36, order",
    /// A late checkpoint replaces nothing.
    late_checkpoint_void: "36, late",
    /// Condemnations stay until their objects are gone, and nothing that counts gives a place in
    /// them.
    open_stay: "27, condemnations",
    /// Young forgets stay.
    young_forgets_stay: "36, forgets",
    /// The names of records that are gone stay while somebody refers to them.
    names_stay: "35, names",
    /// Unforgets are repeated.
    marks_repeated: "36, marks",
    /// In an append-only repository what strangers ask for frees nothing.
    strangers_unheeded: "38",
    /// It does not name late records without a good verdict; and what shows them as late stays.
    late_unnamed: "35, late records",
}
