//! Repeatable choices: the same seed makes the same ones on every machine.

/// A generator after Steele, Lea and Flood's SplitMix64.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// The choices of one case of a seed.
    pub(super) fn of(seed: u64, case: u64) -> Dice {
        let mut dice = Dice(seed.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ case);
        dice.next();
        dice
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `sides`.
    pub(super) fn below(&mut self, sides: usize) -> usize {
        (self.next() % sides as u64) as usize
    }

    /// True once in `sides` times.
    pub(super) fn once_in(&mut self, sides: usize) -> bool {
        self.below(sides) == 0
    }

    pub(super) fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    /// One to `most` of these, joined by commas.
    pub(super) fn some(&mut self, of: &[&str], most: usize) -> String {
        let count = 1 + self.below(most);
        let mut chosen: Vec<&str> = Vec::new();
        for _ in 0..count {
            let next = self.pick(of);
            if !chosen.contains(&next) {
                chosen.push(next);
            }
        }
        chosen.join(",")
    }
}
