//! What every row of a flat model costs, and all of them: totals are the fold of the rows.
//!
//! A [`BoundModel`] comes in, a [`CostReport`] goes out. Tied weights count where they are defined.

use std::collections::HashMap;
use std::sync::Arc;

use super::counting::Counting;
use super::evaluate::Evaluated;
use super::ports::Ports;
use super::problem::Problem;
use super::tensors::Tensor;
use crate::cost::bind::{BoundModel, BoundRow};
use crate::flat::{FlatModel, RowId, RowInfo};
use crate::quantity::{Cost, Quantity};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::expr::{Domain, Plain};

/// The cost of every row, and of all.
#[derive(Debug)]
pub struct CostReport {
    /// One a row of the flat model: its cost is its signature's, unless it shares weights with another.
    rows: Arc<[BoundRow]>,
    /// Of the rows that do, by their places.
    own: HashMap<u32, Own>,
    /// What is asked of a class, each only once; `None` where something was wrong.
    evaluated: Vec<Option<Evaluated>>,
    /// The fold of the rows.
    pub totals: Cost,
    /// Basic layers, and how many of them are modules.
    pub layers: u128,
    pub modules: u128,
}

/// The cost of a layer some of whose weights count elsewhere.
#[derive(Debug)]
struct Own {
    cost: Cost,
    tied: Vec<Arc<str>>,
}

/// What a row costs.
#[derive(Debug, Clone, Copy)]
pub struct RowCost<'r> {
    /// Of one instance, run once.
    pub cost: Cost,
    /// How often each instance runs.
    pub calls: u128,
    /// The names of its weights that count where they are defined, elsewhere.
    pub tied: &'r [Arc<str>],
    repeats: u128,
}

impl RowCost<'_> {
    /// The cost of all instances and calls; that it is within 128 bits was seen when the totals were formed.
    #[must_use]
    pub fn total(&self) -> Cost {
        self.cost.times(self.repeats, self.calls).unwrap_or_default()
    }

    /// A quantity of [`RowCost::total`].
    #[must_use]
    pub fn of(&self, quantity: Quantity) -> u128 {
        self.cost.share(quantity, self.repeats, self.calls).unwrap_or_default()
    }
}

impl CostReport {
    /// What a row costs.
    #[must_use]
    pub fn row(&self, id: RowId) -> Option<RowCost<'_>> {
        let row = self.rows.get(id.0 as usize)?;
        let cost = match self.own.get(&id.0) {
            Some(own) => own.cost,
            None => self.evaluated(row).map_or(Cost::ZERO, |found| found.cost.cost()),
        };
        Some(RowCost { cost, calls: row.calls, tied: self.tied(id), repeats: row.repeats })
    }

    /// What all rows cost, in the order of the flat model.
    pub fn rows(&self) -> impl Iterator<Item = RowCost<'_>> {
        (0u32..).map_while(|at| self.row(RowId(at)))
    }

    /// What a row's layer takes, gives, needs and keeps.
    #[must_use]
    pub fn ports(&self, id: RowId) -> Option<&Ports> {
        self.evaluated(self.rows.get(id.0 as usize)?).map(|found| &found.ports)
    }

    /// Which of a row's tensors are another's, by their names.
    #[must_use]
    pub fn tied(&self, id: RowId) -> &[Arc<str>] {
        self.own.get(&id.0).map_or(&[], |own| own.tied.as_slice())
    }

    /// The tensors that a row's layer owns, tied ones too.
    #[must_use]
    pub fn tensors(&self, id: RowId) -> &[Tensor] {
        self.rows.get(id.0 as usize).and_then(|row| self.evaluated(row)).map_or(&[], |found| &found.tensors)
    }

    fn evaluated(&self, row: &BoundRow) -> Option<&Evaluated> {
        self.evaluated.get(row.signature? as usize)?.as_ref()
    }
}

/// The cost of every row, `found` being what each signature costs. What is wrong goes to `diagnostics`; with errors among them the report is
/// incomplete.
pub fn cost(
    flat: &FlatModel,
    bound: &BoundModel,
    found: Vec<Result<Evaluated, Problem>>,
    diagnostics: &mut Diagnostics,
) -> CostReport {
    let mut report = CostReport {
        rows: bound.rows.clone(),
        own: HashMap::new(),
        evaluated: Vec::new(),
        totals: Cost::default(),
        layers: 0,
        modules: 0,
    };
    let mut problems: HashMap<usize, Problem> = HashMap::new();
    // As many as rows, and collected where they are.
    let kept = |(at, found): (usize, Result<Evaluated, Problem>)| found.map_err(|problem| problems.insert(at, problem)).ok();
    report.evaluated = found.into_iter().enumerate().map(kept).collect();
    for ((at, info), row) in (0u32..).zip(&flat.rows).zip(bound.rows.iter()) {
        let find = |row: usize| report.evaluated(bound.rows.get(row)?);
        let own = report.evaluated(row).and_then(|found| untied(info, found, &find, diagnostics));
        // What a missing value is the consequence of was reported where it went missing.
        if let Some(problem) = row.signature.and_then(|at| problems.get(&(at as usize))).filter(|problem| !problem.follows) {
            diagnostics.push(problem.diagnostic(info));
        }
        if let Some(own) = own {
            report.own.insert(at, own);
        }
        let cost = report.row(RowId(at)).map_or(Cost::ZERO, |row| row.cost);
        if report.totals.add(&cost, row.repeats, row.calls).is_none() {
            let message = "the total is beyond 2^128 - 1";
            diagnostics.push(info.row.point(Diagnostic::new(Code::Overflow, message), "this layer's share leaves 128 bits"));
        }
    }
    // Sums of several quantities are shown, too.
    if report.totals.flops().is_none() || report.totals.bytes_moved().is_none() {
        let message = "the total of FLOPs, or of bytes moved, is beyond 2^128 - 1";
        let moved = |row: &RowCost<'_>| row.total().bytes_moved().map_or(u128::MAX, |bytes| bytes.0);
        let largest = flat.rows.iter().zip(report.rows()).max_by_key(|(_, row)| moved(row));
        let diagnostic = Diagnostic::new(Code::Overflow, message);
        diagnostics.push(match largest {
            Some((info, _)) => info.row.point(diagnostic, "this layer has the largest share"),
            None => diagnostic,
        });
    }
    if let Some(span) = flat.overflow {
        diagnostics
            .push(Diagnostic::new(Code::Overflow, "the model has more than 2^128 - 1 layers").at(span, "too many instances"));
    }
    (report.layers, report.modules) = flat.counts().unwrap_or_default();
    report
}

/// The cost of a row without the weights that count elsewhere; `None`: all of them count here.
fn untied<'e>(
    info: &RowInfo,
    found: &'e Evaluated,
    find: &impl Fn(usize) -> Option<&'e Evaluated>,
    diagnostics: &mut Diagnostics,
) -> Option<Own> {
    let gone = tied_elsewhere(&Plain, info, &found.tensors, &|row| find(row).map(|found| &*found.tensors), diagnostics);
    if gone.is_empty() {
        return None;
    }
    let mut cost = found.cost.cost();
    for (tensor, _) in &gone {
        for (quantity, share) in share_of(tensor) {
            cost.set(quantity, cost.get(quantity).saturating_sub(share));
        }
    }
    Some(Own { cost, tied: gone.into_iter().map(|(tensor, _)| tensor.name.clone()).collect() })
}

/// What a weight is a part of, and how much of it.
pub fn share_of<C: Clone>(tensor: &Tensor<C>) -> [(Quantity, C); 3] {
    let (elements, bytes) = (&tensor.elements, &tensor.bytes);
    let shares = [(Quantity::Params, elements), (Quantity::ActiveParams, elements), (Quantity::WeightBytes, bytes)];
    shares.map(|(quantity, share)| (quantity, share.clone()))
}

/// A weight that counts elsewhere, where a condition holds.
type Gone<'e, D> = (&'e Tensor<<D as Counting>::Count>, <D as Domain>::Truth);

/// The weights of a row that count where they are defined, elsewhere. `find` has the weights of another row.
pub fn tied_elsewhere<'e, D: Counting>(
    domain: &D,
    info: &RowInfo,
    tensors: &'e [Tensor<D::Count>],
    find: &dyn Fn(usize) -> Option<&'e [Tensor<D::Count>]>,
    diagnostics: &mut Diagnostics,
) -> Vec<Gone<'e, D>> {
    let mut gone: Vec<Gone<'e, D>> = Vec::new();
    for tied in info.row.tied.iter() {
        let Some(target) = find(tied.target.0 as usize) else { continue };
        for tensor in tensors.iter().filter(|t| tied.weight.as_ref().is_none_or(|name| *name == t.name)) {
            let wanted = tied.target_weight.as_ref().unwrap_or(&tensor.name);
            // A bias that the target lacks isn't tied.
            let Some(other) = target.iter().find(|t| t.name == *wanted) else {
                continue;
            };
            // A weight of which only some workloads know.
            let whole = other.shape.iter().try_fold(domain.of(1), |product, dim| domain.product(&product, dim));
            let is_whole = whole.is_some_and(|whole| {
                let same = are_alike(domain, std::slice::from_ref(&other.elements), std::slice::from_ref(&whole));
                domain.decided(&same) == Some(true)
            });
            let exists = match is_whole {
                true => domain.truth_of(true),
                false => domain.is_less(&domain.of(0), &other.elements),
            };
            let differs = domain.both(&exists, &domain.not(&are_alike(domain, &other.shape, &tensor.shape)));
            if !domain.holds(&domain.not(&differs)) {
                let message = format!(
                    "`{}` of `{}` is {}, and what it is tied to is {}",
                    tensor.name,
                    info.path,
                    shown(domain, &tensor.shape),
                    shown(domain, &other.shape)
                );
                let diagnostic = Diagnostic::new(Code::TiedShapesDiffer, message)
                    .at(tied.span, format!("tied to `{}` of `{}`", other.name, tied.path))
                    .also(info.row.span, format!("`{}` is {}", tensor.name, shown(domain, &tensor.shape)));
                diagnostics.push(info.row.with_use(diagnostic));
                continue;
            }
            // A layer may be tied itself and as a part of its composite.
            if gone.iter().all(|(known, _)| known.name != tensor.name) {
                gone.push((tensor, exists));
            }
        }
    }
    gone
}

/// Whether two shapes are the same.
fn are_alike<D: Counting>(domain: &D, a: &[D::Count], b: &[D::Count]) -> D::Truth {
    let no_less = |a: &D::Count, b: &D::Count| domain.not(&domain.is_less(a, b));
    let equal = |(a, b): (&D::Count, &D::Count)| domain.both(&no_less(a, b), &no_less(b, a));
    a.iter().zip(b).map(equal).fold(domain.truth_of(a.len() == b.len()), |all, next| domain.both(&all, &next))
}

fn shown<D: Counting>(domain: &D, shape: &[D::Count]) -> String {
    let dim = |dim: &D::Count| domain.known(dim).map_or_else(|| "?".to_owned(), |dim| dim.to_string());
    let dims: Vec<String> = shape.iter().map(dim).collect();
    format!("[{}]", dims.join(", "))
}
