//! Finds what a concrete path means, and how far one that means nothing leads.

use super::indices::Indices;
use super::model::FlatModel;
use super::node::{Node, RowId};
use super::paths::{Asker, Found, Level, Levels, Paths, base};
use crate::language::{Segment, enclosing};

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located {
    Layer(RowId),
    /// A composite, or all instances of a repeat: what is in it.
    Children {
        class: Option<String>,
        children: Vec<Child>,
    },
}

/// A layer or composite below a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// `self_attn`, `layers.[0-31]`.
    pub name: String,
    pub class: String,
}

/// How far a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The part that leads somewhere, with the dot after it.
    pub prefix: String,
    /// What is there: the names that could have come next, a repeated one without its index.
    pub names: Vec<String>,
}

impl FlatModel {
    /// What a path of `named_modules()`, or of a functional layer, leads to.
    ///
    /// # Errors
    /// How far it leads.
    pub fn locate(&self, path: &str) -> Result<Located, Lost> {
        let mut search = Search { model: self, length: path.len(), deepest: (0, &self.body, Vec::new()) };
        Paths::new(self).walk(&self.body, path, &mut Vec::new(), &mut search).ok_or_else(|| {
            let (length, nodes, levels) = search.deepest;
            let mut names: Vec<String> = bases(nodes).collect();
            names.extend(children(self, nodes, &mut levels.clone()).into_iter().map(|child| child.name));
            Lost { prefix: path.get(..length).unwrap_or_default().to_owned(), names }
        })
    }
}

struct Search<'m> {
    model: &'m FlatModel,
    /// Of the whole path.
    length: usize,
    /// The innermost body that the path leads into: how long it is up to there.
    deepest: (usize, &'m [Node<RowId>], Levels<'m>),
}

impl<'m, 'p> Asker<'m, 'p> for Search<'m> {
    type Answer = Located;

    fn found(&mut self, found: Found<'m, 'p>, levels: &mut Levels<'m>) -> Option<Located> {
        match found {
            Found::Layer(id, rest) => rest.is_empty().then_some(Located::Layer(id)),
            Found::Composite(composite) => {
                let own = composite.body.iter().find_map(|node| match node {
                    Node::Layer(id) if self.model.row(*id)?.row.segment.is_none() => Some(Located::Layer(*id)),
                    _ => None,
                });
                let class = || composite.class.as_ref().map(|class| class.to_string());
                let all = || Located::Children { class: class(), children: children(self.model, &composite.body, levels) };
                Some(own.unwrap_or_else(all))
            }
            Found::Instances(repeat) => {
                let children = repeat.variants.iter().filter_map(|variant| {
                    let class = class_of(self.model, variant.instance.as_ref()?);
                    Some(Child { name: variant.indices.pattern(), class })
                });
                Some(Located::Children { class: None, children: children.collect() })
            }
        }
    }

    fn entered(&mut self, body: &'m [Node<RowId>], rest: &'p str, levels: &Levels<'m>) {
        let length = self.length - rest.len();
        if length > self.deepest.0 {
            self.deepest = (length, body, levels.clone());
        }
    }
}

fn bases(nodes: &[Node<RowId>]) -> impl Iterator<Item = String> + '_ {
    nodes.iter().filter_map(|node| if let Node::Repeat(repeat) = node { base(repeat).map(str::to_owned) } else { None })
}

/// What stands in a body, the layers of groups too.
fn children<'f>(model: &'f FlatModel, nodes: &'f [Node<RowId>], levels: &mut Levels<'f>) -> Vec<Child> {
    let mut out = Vec::new();
    nodes.iter().for_each(|node| add(model, node, levels, &mut out));
    out
}

fn add<'f>(model: &'f FlatModel, node: &'f Node<RowId>, levels: &mut Levels<'f>, out: &mut Vec<Child>) {
    let segment = match node {
        Node::Layer(id) => model.row(*id).and_then(|info| info.row.segment.as_ref()),
        Node::Composite(composite) => match composite.path_segment() {
            None => return composite.body.iter().for_each(|node| add(model, node, levels, out)),
            segment => segment,
        },
        Node::Repeat(repeat) => {
            for variant in &repeat.variants {
                levels.push(Level { index: None, allowed: Some(&variant.indices) });
                variant.instance.iter().for_each(|node| add(model, node, levels, out));
                levels.pop();
            }
            return;
        }
    };
    let mut name = String::new();
    let write = |segment: &Segment| {
        segment.write(&mut name, &|level, out| {
            let level = enclosing(levels, level);
            let shown = level.and_then(|level| match level.index {
                Some(index) => Some(index.to_string()),
                None => level.allowed.map(Indices::pattern),
            });
            out.push_str(shown.as_deref().unwrap_or("?"));
        });
    };
    segment.map(write);
    out.push(Child { name, class: class_of(model, node) });
}

fn class_of(model: &FlatModel, node: &Node<RowId>) -> String {
    let class = match node {
        Node::Layer(id) => model.row(*id).map(|info| &info.row.class_name),
        Node::Composite(composite) => composite.class.as_ref(),
        Node::Repeat(_) => None,
    };
    class.map(|class| class.to_string()).unwrap_or_default()
}
