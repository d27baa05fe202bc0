//! Finds what a concrete path means: segment by segment in the tree, so that a repeat costs what its distinct instances do.

use super::indices::Indices;
use super::model::FlatModel;
use super::node::{Composite, Node, Repeat, RowId};
use crate::language::{PathPiece, Segment};

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
        let mut search = Search { model: self, path, deepest: (0, &self.body, Vec::new()) };
        search.nodes(&self.body, path, &mut Vec::new()).ok_or_else(|| {
            let (length, nodes, levels) = search.deepest;
            let mut names = Vec::new();
            let children = children(self, nodes, &mut levels.clone());
            names.extend(bases(nodes));
            names.extend(children.into_iter().map(|child| child.name));
            Lost { prefix: path.get(..length).unwrap_or_default().to_owned(), names }
        })
    }
}

/// A repeat around, and its index as far as the path has said it.
#[derive(Clone)]
struct Level<'f> {
    index: Option<u64>,
    allowed: &'f Indices,
}

type Levels<'f> = Vec<Level<'f>>;

struct Search<'f, 'p> {
    model: &'f FlatModel,
    path: &'p str,
    /// The innermost body that the path leads into: how long it is up to there.
    deepest: (usize, &'f [Node<RowId>], Levels<'f>),
}

impl<'f, 'p> Search<'f, 'p> {
    fn nodes(&mut self, nodes: &'f [Node<RowId>], text: &'p str, levels: &mut Levels<'f>) -> Option<Located> {
        nodes.iter().find_map(|node| self.node(node, text, levels))
    }

    fn node(&mut self, node: &'f Node<RowId>, text: &'p str, levels: &mut Levels<'f>) -> Option<Located> {
        match node {
            Node::Layer(id) => {
                let found = |_: &mut Self, rest: &str, _: &mut Levels<'f>| rest.is_empty().then_some(Located::Layer(**id));
                match &self.model.row(**id)?.row.segment {
                    // It has its composite's path.
                    None => text.is_empty().then_some(Located::Layer(**id)),
                    Some(segment) => self.pieces(&segment.pieces, text, levels, &found),
                }
            }
            Node::Composite(composite) => match composite.path_segment() {
                None => self.nodes(&composite.body, text, levels),
                Some(segment) => {
                    let found = |this: &mut Self, rest: &'p str, levels: &mut Levels<'f>| this.inside(composite, rest, levels);
                    self.pieces(&segment.pieces, text, levels, &found)
                }
            },
            Node::Repeat(repeat) => self.repeat(repeat, text, levels),
        }
    }

    fn inside(&mut self, composite: &'f Composite<RowId>, rest: &'p str, levels: &mut Levels<'f>) -> Option<Located> {
        let Some(rest) = rest.strip_prefix('.') else {
            let class = composite.class.as_ref().map(|class| class.to_string());
            let all = || Located::Children { class, children: children(self.model, &composite.body, levels) };
            let own = composite.body.iter().find_map(|node| match node {
                Node::Layer(id) if self.model.row(**id)?.row.segment.is_none() => Some(Located::Layer(**id)),
                _ => None,
            });
            return Some(own.unwrap_or_else(all));
        };
        let length = self.path.len() - rest.len();
        if length > self.deepest.0 {
            self.deepest = (length, &composite.body, levels.clone());
        }
        self.nodes(&composite.body, rest, levels)
    }

    fn repeat(&mut self, repeat: &'f Repeat<RowId>, text: &'p str, levels: &mut Levels<'f>) -> Option<Located> {
        if base(repeat).is_some_and(|base| base == text) {
            let children = repeat.variants.iter().filter_map(|variant| {
                let class = class_of(self.model, variant.instance.as_deref()?);
                Some(Child { name: variant.indices.pattern(), class })
            });
            return Some(Located::Children { class: None, children: children.collect() });
        }
        repeat.variants.iter().find_map(|variant| {
            levels.push(Level { index: None, allowed: &variant.indices });
            let found = variant.instance.as_deref().and_then(|node| self.node(node, text, levels));
            levels.pop();
            found
        })
    }

    /// Matches a segment with the beginning of a text; an index that isn't known yet is read from it.
    fn pieces(
        &mut self,
        pieces: &[PathPiece],
        text: &'p str,
        levels: &mut Levels<'f>,
        found: &dyn Fn(&mut Self, &'p str, &mut Levels<'f>) -> Option<Located>,
    ) -> Option<Located> {
        let Some((piece, pieces)) = pieces.split_first() else {
            return if text.is_empty() || text.starts_with('.') { found(self, text, levels) } else { None };
        };
        let level = match piece {
            PathPiece::Text(name) => return self.pieces(pieces, text.strip_prefix(&**name)?, levels, found),
            PathPiece::Dot => return self.pieces(pieces, text.strip_prefix('.')?, levels, found),
            PathPiece::Index(level) => levels.len().checked_sub(1 + usize::from(*level))?,
        };
        let Level { index, allowed } = levels.get(level)?.clone();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        (1..=digits.min(MOST_DIGITS)).rev().find_map(|length| {
            let (number, rest) = text.split_at_checked(length)?;
            let value: u64 = number.parse().ok().filter(|_| length == 1 || !number.starts_with('0'))?;
            if index.is_some_and(|index| index != value) || !allowed.contains(value) {
                return None;
            }
            levels.get_mut(level)?.index = Some(value);
            let located = self.pieces(pieces, rest, levels, found);
            levels.get_mut(level)?.index = index;
            located
        })
    }
}

/// Of a 64-bit number.
const MOST_DIGITS: usize = 20;

/// `layers` of the instances `layers.0`, `layers.1`, ...
fn base(repeat: &Repeat<RowId>) -> Option<&str> {
    repeat.name.as_ref().filter(|name| name.pieces.contains(&PathPiece::Dot)).and_then(Segment::lookup_name).map(|name| &**name)
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
        Node::Layer(id) => model.row(**id).and_then(|info| info.row.segment.as_ref()),
        Node::Composite(composite) => match composite.path_segment() {
            None => return composite.body.iter().for_each(|node| add(model, node, levels, out)),
            segment => segment,
        },
        Node::Repeat(repeat) => {
            for variant in &repeat.variants {
                levels.push(Level { index: None, allowed: &variant.indices });
                variant.instance.iter().for_each(|node| add(model, node, levels, out));
                levels.pop();
            }
            return;
        }
    };
    let mut name = String::new();
    let write = |segment: &Segment| {
        segment.write(&mut name, &|level, out| {
            let level = levels.len().checked_sub(1 + usize::from(level)).and_then(|at| levels.get(at));
            let shown = level.map(|level| level.index.map_or_else(|| level.allowed.pattern(), |index| index.to_string()));
            out.push_str(shown.as_deref().unwrap_or("?"));
        });
    };
    segment.map(write);
    out.push(Child { name, class: class_of(model, node) });
}

fn class_of(model: &FlatModel, node: &Node<RowId>) -> String {
    let class = match node {
        Node::Layer(id) => model.row(**id).map(|info| &info.row.class_name),
        Node::Composite(composite) => composite.class.as_ref(),
        Node::Repeat(_) => None,
    };
    class.map(|class| class.to_string()).unwrap_or_default()
}
