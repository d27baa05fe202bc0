//! Reads a path in the tree, segment by segment, so that a repeat costs what its distinct forms do: the one reader of module paths.
//!
//! `locate` asks it for whole paths, `tie` for paths from a body on. What stands at a path's end is the asker's to judge.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::indices::Indices;
use super::model::FlatModel;
use super::node::{Composite, Node, Repeat, RowId};
use super::wire::splits;
use crate::language::{PathPiece, Segment};

/// A repeat around, and its index as far as the path has said it.
#[derive(Clone, Copy)]
pub(super) struct Level<'m> {
    pub(super) index: Option<u64>,
    /// The indices that it may have; `None`: any.
    pub(super) allowed: Option<&'m Indices>,
}

pub(super) type Levels<'m> = Vec<Level<'m>>;

/// What a path leads to.
pub(super) enum Found<'m, 'p> {
    /// A layer, and what follows its name.
    Layer(RowId, &'p str),
    Composite(&'m Composite<RowId>),
    /// All instances of a repeat.
    Instances(&'m Repeat<RowId>),
}

/// Who asks.
pub(super) trait Asker<'m, 'p> {
    type Answer;

    /// The answer that something at the path's end gives; `None`: the search goes on.
    fn found(&mut self, found: Found<'m, 'p>, levels: &mut Levels<'m>) -> Option<Self::Answer>;

    /// The path leads into a composite; `rest` is what follows.
    fn entered(&mut self, _body: &'m [Node<RowId>], _rest: &'p str, _levels: &Levels<'m>) {}
}

/// The paths of a model.
pub(super) struct Paths<'m> {
    model: &'m FlatModel,
    /// By the body, each made when first looked into.
    indices: RefCell<HashMap<*const Node<RowId>, Rc<Index<'m>>>>,
}

/// The nodes of a body and of the groups in it, by name.
#[derive(Default)]
struct Index<'m> {
    named: HashMap<&'m str, &'m Node<RowId>>,
    /// Repeated layers with the index in the midst of their names.
    patterned: HashMap<(String, String), &'m Node<RowId>>,
    /// Those whose names have more indices in them, or that have none, or whose names are several parts of a path.
    others: Vec<&'m Node<RowId>>,
}

impl<'m> Index<'m> {
    fn add(&mut self, model: &'m FlatModel, nodes: &'m [Node<RowId>]) {
        for node in nodes {
            let segment = match node {
                Node::Layer(id) => model.row(*id).and_then(|info| info.row.segment.as_ref()),
                Node::Composite(composite) => match composite.path_segment() {
                    Some(segment) => Some(segment),
                    None => {
                        self.add(model, &composite.body);
                        continue;
                    }
                },
                Node::Repeat(repeat) => repeat.name.as_ref(),
            };
            if segment.is_some_and(is_of_several_parts) {
                self.others.push(node);
            } else if let Some(name) = segment.and_then(Segment::lookup_name) {
                self.named.entry(name).or_insert(node);
            } else if let Some(affixes) = segment.and_then(Segment::affixes) {
                self.patterned.entry(affixes).or_insert(node);
            } else {
                self.others.push(node);
            }
        }
    }

    /// The nodes that a path which begins with this name may mean.
    fn candidates(&self, head: &str) -> Vec<&'m Node<RowId>> {
        let named = self.named.get(head).copied();
        let patterned = splits(head).filter_map(|(before, _, after)| {
            if self.patterned.is_empty() {
                return None;
            }
            self.patterned.get(&(before.to_owned(), after.to_owned())).copied()
        });
        named.into_iter().chain(patterned).chain(self.others.iter().copied()).collect()
    }
}

/// What is to be done once a segment has matched: with the rest of the text.
type Then<'m, 'p, 't, A> = &'t dyn Fn(&Paths<'m>, &'p str, &mut Levels<'m>, &mut A) -> Option<<A as Asker<'m, 'p>>::Answer>;

impl<'m> Paths<'m> {
    pub(super) fn new(model: &'m FlatModel) -> Self {
        Paths { model, indices: RefCell::default() }
    }

    /// Reads a path from a body on.
    pub(super) fn walk<'p, A: Asker<'m, 'p>>(
        &self,
        body: &'m [Node<RowId>],
        path: &'p str,
        levels: &mut Levels<'m>,
        asker: &mut A,
    ) -> Option<A::Answer> {
        let head = path.split('.').next().unwrap_or_default();
        let candidates = self.index(body).candidates(head);
        candidates.into_iter().find_map(|node| self.node(node, path, levels, asker))
    }

    fn index(&self, nodes: &'m [Node<RowId>]) -> Rc<Index<'m>> {
        if let Some(known) = self.indices.borrow().get(&nodes.as_ptr()) {
            return known.clone();
        }
        let mut index = Index::default();
        index.add(self.model, nodes);
        let index = Rc::new(index);
        self.indices.borrow_mut().insert(nodes.as_ptr(), index.clone());
        index
    }

    fn node<'p, A: Asker<'m, 'p>>(
        &self,
        node: &'m Node<RowId>,
        text: &'p str,
        levels: &mut Levels<'m>,
        asker: &mut A,
    ) -> Option<A::Answer> {
        match node {
            Node::Layer(id) => match &self.model.row(*id)?.row.segment {
                // Without a name it has its composite's path.
                None => asker.found(Found::Layer(*id, text), levels),
                Some(segment) => self.segment(segment, text, levels, asker, &|_, rest, levels, asker| {
                    asker.found(Found::Layer(*id, after_dot(rest)), levels)
                }),
            },
            Node::Composite(composite) => match composite.path_segment() {
                None => self.walk(&composite.body, text, levels, asker),
                Some(segment) => self.segment(segment, text, levels, asker, &|paths, rest, levels, asker| {
                    paths.inside(composite, rest, levels, asker)
                }),
            },
            Node::Repeat(repeat) => self.repeat(repeat, text, levels, asker),
        }
    }

    fn inside<'p, A: Asker<'m, 'p>>(
        &self,
        composite: &'m Composite<RowId>,
        rest: &'p str,
        levels: &mut Levels<'m>,
        asker: &mut A,
    ) -> Option<A::Answer> {
        let Some(rest) = rest.strip_prefix('.') else {
            return asker.found(Found::Composite(composite), levels);
        };
        asker.entered(&composite.body, rest, levels);
        self.walk(&composite.body, rest, levels, asker)
    }

    fn repeat<'p, A: Asker<'m, 'p>>(
        &self,
        repeat: &'m Repeat<RowId>,
        text: &'p str,
        levels: &mut Levels<'m>,
        asker: &mut A,
    ) -> Option<A::Answer> {
        if base(repeat).is_some_and(|base| base == text) {
            return asker.found(Found::Instances(repeat), levels);
        }
        levels.push(Level { index: None, allowed: None });
        let answer = match &repeat.name {
            Some(name) => {
                self.segment(name, text, levels, asker, &|paths, rest, levels, asker| paths.instance(repeat, rest, levels, asker))
            }
            None => self.nameless(repeat, text, levels, asker),
        };
        levels.pop();
        answer
    }

    /// The instance whose index the path has said.
    fn instance<'p, A: Asker<'m, 'p>>(
        &self,
        repeat: &'m Repeat<RowId>,
        rest: &'p str,
        levels: &mut Levels<'m>,
        asker: &mut A,
    ) -> Option<A::Answer> {
        let index = levels.last()?.index?;
        let variant = repeat.variants.iter().find(|variant| variant.indices.contains(index))?;
        match variant.instance.as_ref()? {
            Node::Layer(id) => asker.found(Found::Layer(*id, after_dot(rest)), levels),
            Node::Composite(composite) => self.inside(composite, rest, levels, asker),
            Node::Repeat(_) => None,
        }
    }

    /// A group that is repeated: its children's names have the index in them.
    fn nameless<'p, A: Asker<'m, 'p>>(
        &self,
        repeat: &'m Repeat<RowId>,
        text: &'p str,
        levels: &mut Levels<'m>,
        asker: &mut A,
    ) -> Option<A::Answer> {
        repeat.variants.iter().find_map(|variant| {
            if let Some(level) = levels.last_mut() {
                *level = Level { index: None, allowed: Some(&variant.indices) };
            }
            self.node(variant.instance.as_ref()?, text, levels, asker)
        })
    }

    /// Matches a whole segment with the beginning of a text.
    fn segment<'p, A: Asker<'m, 'p>>(
        &self,
        segment: &Segment,
        text: &'p str,
        levels: &mut Levels<'m>,
        asker: &mut A,
        then: Then<'m, 'p, '_, A>,
    ) -> Option<A::Answer> {
        self.pieces(&segment.pieces, text, levels, asker, then)
    }

    /// Matches pieces with the beginning of a text; an index that isn't known yet is read from it.
    fn pieces<'p, A: Asker<'m, 'p>>(
        &self,
        pieces: &[PathPiece],
        text: &'p str,
        levels: &mut Levels<'m>,
        asker: &mut A,
        then: Then<'m, 'p, '_, A>,
    ) -> Option<A::Answer> {
        let Some((piece, pieces)) = pieces.split_first() else {
            return if text.is_empty() || text.starts_with('.') { then(self, text, levels, asker) } else { None };
        };
        let at = match piece {
            PathPiece::Text(name) => return self.pieces(pieces, text.strip_prefix(&**name)?, levels, asker, then),
            PathPiece::Dot => return self.pieces(pieces, text.strip_prefix('.')?, levels, asker, then),
            PathPiece::Index(level) => levels.len().checked_sub(1 + usize::from(*level))?,
        };
        let Level { index, allowed } = *levels.get(at)?;
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        (1..=digits.min(MOST_DIGITS)).rev().find_map(|length| {
            let (number, rest) = text.split_at_checked(length)?;
            let value: u64 = number.parse().ok().filter(|_| length == 1 || !number.starts_with('0'))?;
            let wrong = index.is_some_and(|index| index != value) || allowed.is_some_and(|allowed| !allowed.contains(value));
            if wrong {
                return None;
            }
            levels.get_mut(at)?.index = Some(value);
            let answer = self.pieces(pieces, rest, levels, asker, then);
            levels.get_mut(at)?.index = index;
            answer
        })
    }
}

/// Whether a name says its place in a list by a number: `blocks.3`, `model.layers.61`.
fn is_of_several_parts(segment: &Segment) -> bool {
    matches!(&*segment.pieces, [PathPiece::Text(text)] if text.contains('.'))
}

/// Of a 64-bit number.
const MOST_DIGITS: usize = 20;

fn after_dot(rest: &str) -> &str {
    rest.strip_prefix('.').unwrap_or(rest)
}

/// `layers` of the instances `layers.0`, `layers.1`, ...
pub(super) fn base(repeat: &Repeat<RowId>) -> Option<&str> {
    repeat.name.as_ref().filter(|name| name.pieces.contains(&PathPiece::Dot)).and_then(Segment::lookup_name).map(|name| &**name)
}
