//! A small random generator with a seed: the same seed rolls the same numbers on every machine, so
//! that a run can be repeated.

/// Rolls numbers (xorshift). Not for secrets.
pub struct Dice(u64);

impl Dice {
    /// The dice of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Rolls a number below `sides`; 0 if `sides` is 0.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;

        (self.0 >> 33) % sides.max(1)
    }
}
