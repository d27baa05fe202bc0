//! `expected_experts` as programs need it: often, for few numbers of tokens, as from some number on all experts are expected.

use std::sync::OnceLock;

use crate::syntax::expr::expected_millionths;

/// Numbers of tokens that are looked up. Beyond, where there are so many experts, each is computed.
const MOST: u128 = 4096;

/// The expected number of experts of a layer, by the number of tokens.
#[derive(Debug)]
pub struct Experts {
    experts: u128,
    chosen: u128,
    /// In millionths, of 0 tokens, 1, ...: up to that from which on it stays what it is, or a limit.
    known: OnceLock<Vec<i64>>,
}

impl Experts {
    pub fn new(experts: u128, chosen: u128) -> Self {
        Experts { experts, chosen, known: OnceLock::new() }
    }

    /// The most that it comes to, in millionths. `None` beyond what is computed with.
    pub fn most(&self) -> Option<u128> {
        self.experts.checked_mul(1_000_000)
    }

    /// In millionths, as the interpreter has it.
    pub fn at(&self, tokens: i128) -> Option<i128> {
        let tokens = u128::try_from(tokens).ok()?;
        let known = self.known.get_or_init(|| self.table());
        let at = usize::try_from(tokens).unwrap_or(usize::MAX);
        match (known.get(at), known.last()) {
            (Some(value), _) => Some(i128::from(*value)),
            // All are expected, and stay so.
            (None, Some(last)) if self.most() == u128::try_from(*last).ok() => Some(i128::from(*last)),
            _ => i128::try_from(expected_millionths(self.experts, self.chosen, tokens)?).ok(),
        }
    }

    fn table(&self) -> Vec<i64> {
        let most = self.most();
        let mut known = Vec::new();
        for tokens in 0..MOST {
            let value = expected_millionths(self.experts, self.chosen, tokens).and_then(|value| i64::try_from(value).ok());
            let Some(value) = value else { break };
            known.push(value);
            if u128::try_from(value).ok() == most {
                break;
            }
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_up_is_what_is_computed() {
        for (all, chosen) in [(256, 8), (8, 2), (1, 1), (4, 0), (60, 60), (1 << 32, 1), (128, 1)] {
            let experts = Experts::new(all, chosen);
            for tokens in (0..6000).chain([1 << 40, i128::from(u64::MAX)]) {
                let computed = expected_millionths(all, chosen, tokens.unsigned_abs()).unwrap();
                assert_eq!(experts.at(tokens), i128::try_from(computed).ok(), "{all} {chosen} {tokens}");
            }
            assert_eq!(experts.at(-1), None);
        }
    }
}
