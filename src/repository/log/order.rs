//! Who had read what: coverage of records by views (`format-spec/8-order.md`).
//!
//! Pure: links in, answers out. Coverage is reckoned by names, along `previous`, and never by
//! sequence: lanes fork. What can't be shown is answered with no, which makes others check more.
//!
//! Memory: about 200 bytes for each record that no checkpoint has replaced yet.

use std::collections::{HashMap, HashSet};

use crate::id::{ObjectHash, Tip};
use crate::repository::marks::RecordLink;

/// Returns a record's hash cut to a tip.
pub fn tip_of(hash: &ObjectHash) -> Tip {
    Tip(hash.0.first_chunk::<8>().copied().unwrap_or_default())
}

/// The records as a graph. See the module's head.
pub struct Order {
    links: HashMap<ObjectHash, RecordLink>,
    /// The record of a tip; `None` if several could be meant.
    tips: HashMap<Tip, Option<ObjectHash>>,
}

impl Order {
    /// Returns the graph of these records.
    pub fn new(links: Vec<RecordLink>) -> Order {
        let mut tips = HashMap::new();
        for link in &links {
            tips.entry(tip_of(&link.hash))
                .and_modify(|known: &mut Option<ObjectHash>| {
                    *known = known.filter(|hash| *hash == link.hash);
                })
                .or_insert(Some(link.hash));
        }
        Order { links: links.into_iter().map(|link| (link.hash, link)).collect(), tips }
    }

    /// Returns a record.
    pub fn link(&self, hash: &ObjectHash) -> Option<&RecordLink> {
        self.links.get(hash)
    }

    /// Returns all records.
    pub fn links(&self) -> impl Iterator<Item = &RecordLink> {
        self.links.values()
    }

    /// Returns whether one who had read these tips had read a record.
    pub fn covers(&self, tips: &[Tip], record: &ObjectHash) -> bool {
        let lane = self.links.get(record).map(|link| link.lane);
        let starts = tips.iter().filter_map(|tip| self.tips.get(tip).copied().flatten());
        starts
            .filter(|hash| self.links.get(hash).map(|link| link.lane) == lane)
            .any(|start| self.reaches(start, record))
    }

    /// Returns whether a record's writer had read another: its own predecessors too.
    pub fn knew(&self, writer: &ObjectHash, record: &ObjectHash) -> bool {
        let Some(link) = self.links.get(writer) else { return false };
        self.covers(&link.view, record)
            || (self.links.get(record).is_some_and(|other| other.lane == link.lane)
                && writer != record
                && self.reaches(*writer, record))
    }

    /// Returns whether a record is reached from another of its lane: over predecessors, and over the
    /// tips of its own lane that a view names, since records between may be covered and not read.
    fn reaches(&self, start: ObjectHash, record: &ObjectHash) -> bool {
        let mut stack = vec![start];
        let mut seen = HashSet::new();
        while let Some(hash) = stack.pop() {
            if hash == *record {
                return true;
            }
            let Some(link) = self.links.get(&hash).filter(|_| seen.insert(hash)) else { continue };
            stack.extend(link.previous);
            let tips = link.view.iter().filter_map(|tip| self.tips.get(tip).copied().flatten());
            stack.extend(
                tips.filter(|tip| self.links.get(tip).is_some_and(|other| other.lane == link.lane)),
            );
        }
        false
    }

    /// Returns a record and those before it in its lane, as far as they are known.
    pub fn chain(&self, start: ObjectHash) -> impl Iterator<Item = ObjectHash> + '_ {
        let mut seen = HashSet::new();
        let mut next = Some(start);
        std::iter::from_fn(move || {
            let hash = next.filter(|hash| seen.insert(*hash))?;
            next = self.links.get(&hash).and_then(|link| link.previous);
            Some(hash)
        })
    }

    /// Returns the records that no other of their lane follows.
    pub fn newest(&self) -> Vec<ObjectHash> {
        let followed: HashSet<ObjectHash> =
            self.links.values().filter_map(|link| link.previous).collect();
        let mut newest: Vec<ObjectHash> =
            self.links.keys().filter(|hash| !followed.contains(*hash)).copied().collect();
        newest.sort_unstable();
        newest
    }

    /// Returns the records that some of these follow in their lane, however far behind: over
    /// predecessors, and over the tips of the own lane that views name.
    pub fn passed_by<'h>(
        &self,
        starts: impl Iterator<Item = &'h ObjectHash>,
    ) -> HashSet<ObjectHash> {
        let links = starts.filter_map(|hash| self.links.get(hash));
        let mut stack: Vec<ObjectHash> = links.flat_map(|link| self.before(link)).collect();
        let mut passed = HashSet::new();
        while let Some(hash) = stack.pop() {
            if passed.insert(hash)
                && let Some(link) = self.links.get(&hash)
            {
                stack.extend(self.before(link));
            }
        }
        passed
    }

    /// Returns the records of its lane that a record names.
    fn before<'a>(&'a self, link: &'a RecordLink) -> impl Iterator<Item = ObjectHash> + 'a {
        let tips = link.view.iter().filter_map(|tip| self.tips.get(tip).copied().flatten());
        let own = tips.filter(|tip| {
            *tip != link.hash && self.links.get(tip).is_some_and(|other| other.lane == link.lane)
        });
        link.previous.into_iter().chain(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::LaneId;

    fn hash(number: u8) -> ObjectHash {
        ObjectHash([number; 32])
    }

    fn link(number: u8, lane: u8, previous: u8, is_global: bool, view: &[u8]) -> RecordLink {
        RecordLink {
            hash: hash(number),
            lane: LaneId([lane; 16]),
            previous: (previous > 0).then(|| hash(previous)),
            view: view.iter().map(|number| Tip([*number; 8])).collect(),
            is_global,
        }
    }

    #[test]
    fn a_view_covers_what_its_tips_follow_and_not_the_other_branch_of_a_fork() {
        let order = Order::new(vec![
            link(1, 1, 0, true, &[]),
            link(2, 1, 1, false, &[]),
            link(3, 1, 2, true, &[]),
            // A clone of the machine went on from 2 as well.
            link(4, 1, 2, true, &[]),
            link(5, 2, 0, true, &[3]),
        ]);
        let covered = |tips: &[u8], record| {
            let tips: Vec<Tip> = tips.iter().map(|number| Tip([*number; 8])).collect();
            order.covers(&tips, &hash(record))
        };
        assert!(covered(&[3], 1) && covered(&[3], 2) && covered(&[3], 3));
        assert!(!covered(&[3], 4), "same lane and sequence, another branch");
        assert!(!covered(&[5], 1), "a tip speaks for its own lane");
        assert!(order.knew(&hash(5), &hash(1)) && !order.knew(&hash(5), &hash(4)));
        assert!(order.knew(&hash(4), &hash(1)) && !order.knew(&hash(1), &hash(1)));
        assert_eq!(order.newest(), [hash(3), hash(4), hash(5)]);
    }

    #[test]
    fn records_that_were_not_read_hide_nothing_of_what_their_lane_had_read() {
        // 2 and 3 are covered, and lie in log/s: nobody reads them any more.
        let order = Order::new(vec![
            link(1, 1, 0, true, &[]),
            link(4, 1, 3, true, &[1]),
            link(5, 2, 0, true, &[4]),
        ]);
        assert!(order.knew(&hash(5), &hash(1)));
        assert!(order.knew(&hash(4), &hash(1)));
        assert_eq!(order.passed_by([hash(4)].iter()), HashSet::from([hash(1), hash(3)]));
    }

    #[test]
    fn a_circle_of_records_ends() {
        let order = Order::new(vec![link(1, 1, 2, true, &[]), link(2, 1, 1, true, &[])]);
        assert_eq!(order.chain(hash(1)).count(), 2);
        assert!(order.newest().is_empty());
    }
}
