//! What flows from a printed layer to the next, as far as sizes say it.

use serde_json::{Value as Json, json};

use crate::quantity::product;

/// Rows of a tensor that is no grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Those of the workload: a row for each token.
    Tokens,
    /// So many for each sample.
    PerSample(u64),
}

/// A value that layers read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flow {
    /// Token ids.
    Ids,
    /// Rows of so many features.
    Rows(Rows, u64),
    /// Channels, then the dimensions of a grid.
    Grid(u64, Vec<u64>),
}

/// What a layer needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    /// Token ids.
    Ids,
    /// Rows of so many features.
    Rows(u64),
    /// So many channels of a grid of so many dimensions; `None`: of as many as there are.
    Grid(Option<u64>, usize),
    /// Whatever comes.
    Any,
}

/// How a value becomes what a layer needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// It is.
    Plain,
    /// By other dimensions.
    Reshaped(Flow),
}

impl Flow {
    /// Its dimensions, as a model file has them.
    pub fn shape(&self) -> Json {
        match self {
            Flow::Ids => json!(["<batch_size>", "<seq_len>"]),
            Flow::Rows(Rows::Tokens, features) => json!(["<batch_size>", "<seq_len>", features]),
            Flow::Rows(Rows::PerSample(1), features) => json!(["<batch_size>", features]),
            Flow::Rows(Rows::PerSample(rows), features) => json!(["<batch_size>", rows, features]),
            Flow::Grid(channels, sizes) => {
                let rest = sizes.iter().map(|size| json!(size));
                Json::Array([json!("<batch_size>"), json!(channels)].into_iter().chain(rest).collect())
            }
        }
    }

    /// Elements of its last dimension.
    pub fn features(&self) -> Option<u64> {
        match self {
            Flow::Ids => None,
            Flow::Rows(_, features) => Some(*features),
            Flow::Grid(channels, sizes) => Some(sizes.last().copied().unwrap_or(*channels)),
        }
    }

    /// How many such rows there are, as an expression.
    pub fn tokens(&self) -> String {
        match self {
            Flow::Ids | Flow::Rows(Rows::Tokens, _) => "<batch_size> * <seq_len>".to_owned(),
            Flow::Rows(Rows::PerSample(1), _) => "<batch_size>".to_owned(),
            Flow::Rows(Rows::PerSample(rows), _) => format!("<batch_size> * {rows}"),
            Flow::Grid(channels, sizes) => {
                let rows = sizes.iter().rev().skip(1).fold(*channels, |product, size| product.saturating_mul(*size));
                format!("<batch_size> * {rows}")
            }
        }
    }

    /// Elements of a sample, of what has no tokens.
    pub fn all_features(&self) -> Option<u64> {
        match self {
            Flow::Ids | Flow::Rows(Rows::Tokens, _) => None,
            Flow::Rows(Rows::PerSample(rows), features) => rows.checked_mul(*features),
            Flow::Grid(channels, sizes) => sizes.iter().try_fold(*channels, |product, size| product.checked_mul(*size)),
        }
    }

    /// How it becomes what is needed. `None`: not at all.
    pub fn way(&self, demand: &Demand) -> Option<Way> {
        match (demand, self) {
            (Demand::Any, _) | (Demand::Ids, Flow::Ids) => Some(Way::Plain),
            (Demand::Rows(wanted), Flow::Rows(_, features)) if wanted == features => Some(Way::Plain),
            // Channels last, as patches are; or all of a sample.
            (Demand::Rows(wanted), Flow::Grid(channels, sizes)) => {
                let spatial = product(sizes)?;
                if wanted == channels {
                    return Some(Way::Reshaped(Flow::Rows(Rows::PerSample(spatial), *wanted)));
                }
                let whole = channels.checked_mul(spatial)? == *wanted;
                whole.then_some(Way::Reshaped(Flow::Rows(Rows::PerSample(1), *wanted)))
            }
            (Demand::Rows(wanted), Flow::Rows(Rows::PerSample(rows), features)) => {
                let whole = rows.checked_mul(*features)? == *wanted;
                whole.then_some(Way::Reshaped(Flow::Rows(Rows::PerSample(1), *wanted)))
            }
            (Demand::Grid(wanted, dims), Flow::Grid(channels, sizes)) => {
                (wanted.is_none_or(|wanted| wanted == *channels) && *dims == sizes.len()).then_some(Way::Plain)
            }
            // Patches become an image again.
            (Demand::Grid(Some(wanted), 2), Flow::Rows(Rows::PerSample(rows), features)) if wanted == features => {
                let side = rows.isqrt();
                (side.checked_mul(side)? == *rows).then(|| Way::Reshaped(Flow::Grid(*wanted, vec![side, side])))
            }
            (Demand::Grid(Some(wanted), 1), Flow::Rows(Rows::PerSample(rows), features)) if wanted == features => {
                Some(Way::Reshaped(Flow::Grid(*wanted, vec![*rows])))
            }
            _ => None,
        }
    }
}
