//! A fake group coordinator with the eager protocol: members, generations, committed offsets.

use std::collections::BTreeMap;

use crate::delivery::CursorWrite;

pub(super) type Member = u32;

#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) generation: u64,
    /// Members, and whether they have joined the rebalance under way.
    pub(super) members: BTreeMap<Member, bool>,
    pub(super) is_rebalancing: bool,
    pub(super) committed: BTreeMap<u32, (u64, String)>,
    /// Before the last write: what a read without `require_stable` may still see.
    pub(super) before: BTreeMap<u32, (u64, String)>,
    next_member: Member,
}

impl Group {
    pub(super) fn join(&mut self) -> Member {
        self.next_member += 1;
        self.members.insert(self.next_member, true);
        self.next_member
    }

    /// K2: the current generation and a known member, nothing more.
    pub(super) fn accepts(&self, member: Member, generation: u64) -> bool {
        self.members.contains_key(&member) && generation == self.generation
    }

    pub(super) fn apply(&mut self, writes: &[CursorWrite]) {
        self.before = self.committed.clone();
        for write in writes {
            let value = (write.offset.0, write.metadata.clone());
            self.committed.insert(write.partition.number, value);
        }
    }

    /// All members have joined: a new generation. Partitions move at every rebalance.
    pub(super) fn complete(&mut self, partitions: u32) -> Vec<(Member, Vec<u32>)> {
        self.is_rebalancing = false;
        self.generation += 1;
        let members: Vec<Member> = self.members.keys().copied().collect();
        let owner = |p: u32| {
            let turn = u64::from(p) + self.generation;
            members[(turn % members.len() as u64) as usize]
        };
        let of = |member: Member| (0..partitions).filter(|&p| owner(p) == member).collect();
        members.iter().map(|&member| (member, of(member))).collect()
    }
}
