//! The modules that the tensors of a file are of, as if they had been printed: what sizes say of them, no classes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::read::{Arg, Module};
use crate::import::contents::Contents;
use crate::syntax::expr::Value;

/// Modules in modules; what is deeper is one name.
const MOST_NESTED: usize = 24;

/// A module by the tensors and the modules in it; those with a number in its order.
#[derive(Default)]
struct Node<'c> {
    tensors: Vec<(&'c str, &'c [u64])>,
    children: BTreeMap<(u64, &'c str), Node<'c>>,
}

/// The tree of modules of a file's tensors, those whose shapes it says. A module with a weight has the arguments that a layer of such a
/// weight is printed with, whichever it is; every tensor has its `shape`, and the whole says that it is one of `tensors`.
#[must_use]
pub fn modules_of(contents: &Contents) -> Module {
    let mut root = Node::default();
    for tensor in &contents.tensors {
        let Some(shape) = &tensor.shape else { continue };
        let mut parts: Vec<&str> = tensor.name.splitn(MOST_NESTED, '.').collect();
        let name = parts.pop().unwrap_or_default();
        let here = parts.into_iter().fold(&mut root, |here, part| {
            let number = part.parse::<u64>().unwrap_or(u64::MAX);
            here.children.entry((number, part)).or_default()
        });
        here.tensors.push((name, shape));
    }
    let mut root = module("", &root);
    root.args.push(named("tensors", Value::Bool(true)));
    root
}

fn named(name: &str, value: Value) -> Arg {
    Arg { name: Some(name.into()), value }
}

fn list(dims: &[u64]) -> Value {
    Value::List(dims.iter().map(|dim| Value::count(*dim)).collect())
}

fn module(key: &str, node: &Node<'_>) -> Module {
    let mut children: Vec<Module> = node.children.iter().map(|((_, key), child)| module(key, child)).collect();
    let is_list = !children.is_empty() && node.tensors.is_empty() && node.children.keys().all(|(number, _)| *number < u64::MAX);
    for (name, shape) in node.tensors.iter().filter(|(name, _)| !["weight", "bias"].contains(name)) {
        children.push(plain(name, vec![named("shape", list(shape))], Vec::new()));
    }
    let mut module = plain(key, args(&node.tensors), children);
    if is_list {
        module.class = "ModuleList".into();
    }
    module
}

fn plain(key: &str, args: Vec<Arg>, children: Vec<Module>) -> Module {
    let (key, class): (Arc<str>, Arc<str>) = (key.into(), "".into());
    Module { key, from: 0, count: 1, is_range: false, class, args, children, at: 0..0 }
}

/// What is printed of the layers that have such a weight: a norm's size, an embedding's or a linear layer's two, a convolution's kernel.
fn args(tensors: &[(&str, &[u64])]) -> Vec<Arg> {
    let shape = |wanted: &str| tensors.iter().find(|(name, _)| *name == wanted).map(|(_, shape)| *shape);
    let (Some(weight), bias) = (shape("weight"), shape("bias")) else { return Vec::new() };
    let placed = |value: Value| Arg { name: None, value };
    let count = |dim: &u64| Value::count(*dim);
    let mut args = vec![named("shape", list(weight)), named("bias", Value::Bool(bias.is_some()))];
    match weight {
        [_] => args.push(placed(list(weight))),
        // The rows of a `Conv1D` are what it takes, which its bias tells.
        [rows, cols] if rows != cols && bias == Some(&[*cols]) => {
            args.extend([named("nf", count(cols)), named("nx", count(rows))]);
        }
        [rows, cols] => args.extend([
            placed(count(rows)),
            placed(count(cols)),
            named("out_features", count(rows)),
            named("in_features", count(cols)),
        ]),
        [rows, cols, kernel @ ..] => {
            args.extend([placed(count(cols)), placed(count(rows)), named("kernel_size", list(kernel))]);
        }
        [] => {}
    }
    args
}
