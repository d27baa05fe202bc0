//! Holds a model against the tensors of a file: which weight is where, what fits, and what is left over on both sides.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::contents::{Contents, Held};
use super::place::{Part, Place};
use crate::evaluation::Evaluation;
use crate::quantity::{Exact, product};

/// A weight of a model: one tensor of one layer.
#[derive(Debug, Clone)]
pub struct Weight {
    /// `model.layers.7.mlp.up_proj`.
    pub module: Arc<str>,
    /// Its name in its layer: `weight`, `bias`; empty: the layer is the tensor.
    pub name: Arc<str>,
    /// Its dimensions.
    pub shape: Vec<u64>,
    /// Bytes of an element in the model, before a file says another number.
    pub element_bytes: Exact,
    /// Whether it is another layer's, too, and counted there.
    pub is_tied: bool,
    /// The path of that layer.
    pub tied_to: Option<Arc<str>>,
}

impl Weight {
    /// `model.layers.7.mlp.up_proj.weight`.
    #[must_use]
    pub fn path(&self) -> String {
        path_of(&self.module, &self.name)
    }

    /// How many elements it has.
    #[must_use]
    pub fn elements(&self) -> u64 {
        elements_of(&self.shape)
    }
}

/// The path of a tensor of a module; without a name the module is the tensor.
pub(super) fn path_of(module: &str, name: &str) -> String {
    if name.is_empty() { module.to_owned() } else { format!("{module}.{name}") }
}

/// How many elements a shape has; beyond 64 bits, as many as there can be.
pub(super) fn elements_of(shape: &[u64]) -> u64 {
    shape.iter().fold(1, |product, dim| product.saturating_mul(*dim))
}

/// A shape without its axes of length 1.
pub(super) fn without_ones(shape: &[u64]) -> Vec<u64> {
    shape.iter().copied().filter(|dim| *dim != 1).collect()
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Reconciled {
    /// For each weight the tensors that hold it, by their positions in the file.
    pub held: Vec<Vec<usize>>,
    /// Tensors that no weight is for, with what they are where that is known.
    pub unused: Vec<usize>,
    /// Weights that the file doesn't have.
    pub missing: Vec<usize>,
    /// Weights whose tensors have another size.
    pub differing: Vec<(usize, String)>,
    /// Tensors that say again what others say.
    pub again: Vec<usize>,
    /// Tensors that hold several weights.
    pub split: HashSet<usize>,
}

/// All weights of a model, in the order of execution; a tensor that a composite owns is its own layer. `None`: there are more than `most`, or
/// more layers than have any.
#[must_use]
pub fn weights(evaluation: &Evaluation, most: usize) -> Option<Vec<Weight>> {
    const LAYERS: usize = 64;
    let mut out = Vec::new();
    for (layer, instance) in evaluation.instances().enumerate() {
        if out.len() > most || layer > most.saturating_mul(LAYERS) {
            return None;
        }
        let path: Arc<str> = instance.path.as_str().into();
        let tied_to: Option<Arc<str>> = instance.row.tied_to().map(Into::into);
        for tensor in instance.row.weights() {
            let shape = tensor.shape.iter().map(|dim| u64::try_from(*dim).unwrap_or(u64::MAX)).collect();
            // A `Parameter` has its name in its path.
            let own = path.rsplit('.').next().is_some_and(|last| *last == *tensor.name) && instance.row.class().is_none();
            let name = if own { "".into() } else { tensor.name.clone() };
            let element_bytes = tensor.element_bytes;
            let is_tied = instance.row.is_tied(tensor);
            let tied_to = tied_to.clone().filter(|_| is_tied);
            out.push(Weight { module: path.clone(), name, shape, element_bytes, is_tied, tied_to });
        }
    }
    Some(out)
}

/// Weights by their paths.
#[must_use]
pub fn by_path(weights: &[Weight]) -> HashMap<Arc<str>, usize> {
    // Of layers that are called several times one is enough.
    weights.iter().enumerate().rev().map(|(at, weight)| (weight.path().into(), at)).collect()
}

/// The tensors of a file, and where each is in the model.
struct Found<'c> {
    tensors: &'c [Held],
    places: Vec<Option<Place>>,
}

impl Found<'_> {
    fn place(&self, at: usize) -> Option<&Place> {
        self.places.get(at)?.as_ref()
    }

    fn is(&self, at: usize, part: Part) -> bool {
        self.place(at).is_some_and(|place| place.part == part)
    }

    fn shape(&self, at: usize) -> Option<&[u64]> {
        self.tensors.get(at)?.shape.as_deref()
    }
}

/// Compares weight by weight. `place` says where a tensor of the file is.
#[must_use]
pub fn reconcile(weights: &[Weight], contents: &Contents, place: &dyn Fn(&Held) -> Option<Place>) -> Reconciled {
    let found = Found { tensors: &contents.tensors, places: contents.tensors.iter().map(place).collect() };
    let mut held: Vec<Vec<usize>> = vec![Vec::new(); weights.len()];
    let mut out = Reconciled::default();
    for (at, place) in found.places.iter().enumerate() {
        let Some(place) = place else {
            out.unused.push(at);
            continue;
        };
        if place.is_split() {
            out.split.insert(at);
            out.differing.extend(found.tensors.get(at).and_then(|tensor| parts_differ(tensor, place, weights)));
        }
        for weight in &place.weights {
            if let Some(list) = held.get_mut(*weight) {
                list.push(at);
            }
        }
    }
    let mut seen: HashSet<String> = HashSet::new();
    for (at, (weight, list)) in weights.iter().zip(&mut held).enumerate() {
        if list.is_empty() {
            // One that is called several times, or tied to one that is there.
            if !weight.is_tied && !seen.contains(&weight.path()) {
                out.missing.push(at);
            }
            continue;
        }
        seen.insert(weight.path());
        match compared(weight, list, &found) {
            Ok(again) => out.again.extend(again),
            Err(why) => out.differing.push((at, why)),
        }
    }
    out.held = held;
    out
}

/// That a tensor hasn't as many elements as the weights that it holds; said of the first of them.
fn parts_differ(tensor: &Held, place: &Place, weights: &[Weight]) -> Option<(usize, String)> {
    let parts: u64 = place.weights.iter().filter_map(|at| weights.get(*at)).map(Weight::elements).sum();
    let whole = elements_of(tensor.shape.as_ref()?);
    let first = place.weights.first().copied().unwrap_or(0);
    (parts != whole).then(|| (first, format!("`{}` has {whole} elements, its parts {parts}", tensor.name)))
}

/// Compares a weight with the tensors that hold it. Those that say again what one of them says are taken off the list, and come out.
///
/// # Errors
/// How they differ.
fn compared(weight: &Weight, list: &mut Vec<usize>, found: &Found<'_>) -> Result<Vec<usize>, String> {
    if list.iter().any(|at| found.place(*at).is_some_and(Place::is_split)) {
        return Ok(Vec::new());
    }
    if list.iter().any(|at| found.is(*at, Part::Packed)) {
        return packed(weight, list, found).map(|()| Vec::new());
    }
    let mut values: Vec<usize> = list.iter().copied().filter(|at| found.is(*at, Part::Values)).collect();
    let Some(shapes) = values.iter().map(|at| found.shape(*at)).collect::<Option<Vec<&[u64]>>>() else { return Ok(Vec::new()) };
    let is_transposed = list.first().and_then(|at| found.place(*at)).is_some_and(|place| place.is_transposed);
    // One of them may be all of it, and the others say it again.
    if shapes.len() > 1
        && let Some(whole) = shapes.iter().position(|shape| is_whole(&weight.shape, shape, is_transposed))
    {
        let kept = values.remove(whole);
        list.retain(|at| *at == kept || !found.is(*at, Part::Values));
        return Ok(values);
    }
    fits(&weight.shape, &shapes, is_transposed).map(|()| Vec::new())
}

/// Whether packed values are so many as a weight has: 1 to 8 whole bits each, or a little more where they are padded.
fn packed(weight: &Weight, held: &[usize], found: &Found<'_>) -> Result<(), String> {
    let packed = held.iter().filter(|at| found.is(**at, Part::Packed));
    let bytes: Option<u64> = packed.map(|at| found.tensors.get(*at)?.bytes).sum();
    let Some(bytes) = bytes else { return Ok(()) };
    let (elements, bits) = (weight.elements(), bytes.saturating_mul(8));
    if elements > 0
        && (1..=8).any(|width| {
            elements.saturating_mul(width) <= bits && bits <= elements.saturating_mul(width).saturating_add(bits / 16)
        })
    {
        return Ok(());
    }
    Err(format!("the model has {:?}, {elements} elements; its packed values take {bytes} bytes", weight.shape))
}

/// Whether a tensor is a weight, axes of length 1 aside; what the model has in one axis may be several in the file: heads, groups, experts.
fn is_whole(weight: &[u64], held: &[u64], is_transposed: bool) -> bool {
    let (weight, mut held) = (without_ones(weight), without_ones(held));
    if weight == held {
        return true;
    }
    // Of stacked matrices each is.
    let last = held.len();
    if is_transposed && last >= 2 {
        held.swap(last - 2, last - 1);
    }
    (is_transposed && weight == held) || merged(&held, weight.len()) == Some(weight)
}

/// A shape with its first axes as one, so that it has so many. `None`: it has no more.
fn merged(shape: &[u64], axes: usize) -> Option<Vec<u64>> {
    let first = shape.len().checked_sub(axes).filter(|more| *more > 0)?;
    let (one, rest) = shape.split_at_checked(first + 1)?;
    Some(std::iter::once(product(one)?).chain(rest.iter().copied()).collect())
}

/// Whether tensors, put together along one axis or stacked, are a weight.
fn fits(weight: &[u64], held: &[&[u64]], is_transposed: bool) -> Result<(), String> {
    if held.is_empty() {
        return Ok(());
    }
    if let [one] = held {
        return if is_whole(weight, one, is_transposed) {
            Ok(())
        } else {
            Err(format!("the model has {weight:?}, the file {one:?}"))
        };
    }
    let (whole, sum) = (elements_of(weight), held.iter().map(|shape| elements_of(shape)).fold(0u64, u64::saturating_add));
    if whole == sum {
        Ok(())
    } else {
        Err(format!("the model has {weight:?}, {whole} elements; {} tensors of the file {sum}", held.len()))
    }
}
