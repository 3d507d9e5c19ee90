//! A bit for each of many positions, so that nothing is counted twice and a gap is seen: of a run's items on the desk, and of
//! results that are put in their places.

/// Bits that are set, once each.
#[derive(Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn has(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// Sets the bits `from..to`; `false`, and nothing is set, when there are none or one of them is set already.
    #[inline]
    pub(crate) fn set(&mut self, from: usize, to: usize) -> bool {
        if from >= to {
            return false;
        }
        let words = from / 64..to.div_ceil(64);
        if self.0.len() < words.end {
            self.0.resize(words.end, 0);
        }
        let bits = |word: usize| {
            let (low, high) = (from.saturating_sub(word * 64), (to - word * 64).min(64));
            (u64::MAX >> (64 - high)) & (u64::MAX << low)
        };
        if words.len() == 1 {
            // Small chunks, where this is much of what there is to do.
            let (known, new) = (&mut self.0[words.start], bits(words.start));
            let fresh = *known & new == 0;
            *known |= if fresh { new } else { 0 };
            return fresh;
        }
        if words.clone().any(|word| self.0[word] & bits(word) != 0) {
            return false;
        }
        words.for_each(|word| self.0[word] |= bits(word));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Bits;

    #[test]
    fn each_is_set_once() {
        let mut bits = Bits::default();
        assert!(bits.set(3, 200));
        assert!(!bits.set(199, 201) && !bits.has(200), "all or nothing");
        assert!(!bits.set(0, 4) && !bits.has(0));
        assert!(bits.set(0, 3) && bits.set(200, 201));
        assert!((0..201).all(|at| bits.has(at)) && !bits.has(201));
        assert!(!bits.set(5, 5), "nothing is no range");
    }
}
