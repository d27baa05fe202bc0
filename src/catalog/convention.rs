//! How a tool or a paper counts FLOPs: a file of `catalog/conventions/`.
//!
//! A file comes in, a [`Convention`] goes out: terms, each with the layers that it is of and a formula over what a layer is. What they come to
//! for a model is `analysis::convention`'s business.

use std::sync::Arc;

use super::Role;
use super::values::{flag, formula, key, list, text, texts, wrong};
use crate::quantity::workload::{CONVENTIONS, VARIABLES};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::expr::{Expr, Name};
use crate::syntax::json::{Json, Node};
use crate::syntax::source::{Span, Spanned};
use crate::syntax::spec::{Key, KeyKind, fields};

/// A way to count FLOPs.
#[derive(Debug)]
pub struct Convention {
    /// The name to call it by.
    pub name: Arc<str>,
    /// Other names.
    pub aliases: Vec<Arc<str>>,
    /// What it counts, in a line.
    pub doc: Arc<str>,
    /// Where that is written down, with its version.
    pub source: Arc<str>,
    /// On which models its figures were compared with the tool's own.
    pub checked: Arc<str>,
    /// Whether it is the one that others are compared with where none is named.
    pub reference: bool,
    /// What a multiply-add counts as: 2, or 1 where the tool counts multiply-adds, whatever it calls them.
    pub multiply_add: u8,
    /// What adds up to a layer's count.
    pub terms: Vec<CountedTerm>,
    /// Where its file begins.
    pub span: Span,
}

/// A part of what a convention counts.
#[derive(Debug)]
pub struct CountedTerm {
    /// What conventions have in common, they call by one name.
    pub term: Arc<str>,
    /// What the tool does here, and why.
    pub doc: Arc<str>,
    /// The layers that it is of.
    pub of: Selector,
    /// A condition beside that.
    pub when: Option<RowFormula>,
    /// Whether its formulas are of all runs together, as of parameters; also of a layer that never runs.
    pub of_all_runs: bool,
    /// Whether it is of multiply-adds, 2 FLOPs each: it is halved where they count as 1.
    pub products: bool,
    /// Of a layer's forward pass.
    pub forward: RowFormula,
    /// Of its backward pass; `None`: that isn't counted.
    pub backward: Option<RowFormula>,
}

/// Which layers: those of one of the classes, roles or components if any are named, without those of the excepted ones.
#[derive(Debug)]
pub struct Selector {
    /// Names of the catalog's classes.
    pub classes: Vec<Arc<str>>,
    /// What layers say that they are.
    pub roles: Vec<Role>,
    /// What they are counted to, as in a model's summary.
    pub components: Vec<Role>,
    /// What layers call their class, `*` for any text: of those, only the ones that are called so.
    pub names: Vec<Arc<str>>,
    /// Classes left out.
    pub except_classes: Vec<Arc<str>>,
    /// Roles left out.
    pub except_roles: Vec<Role>,
    /// Components left out.
    pub except_components: Vec<Role>,
}

/// A formula over what a layer is: [`ROW_NAMES`], the names of the workload, and where `classes` says whose, the names of their formulas.
#[derive(Debug)]
pub struct RowFormula {
    /// As it is written.
    pub text: Arc<str>,
    /// The same, parsed.
    pub expr: Expr<Name>,
    /// Where it stands.
    pub span: Span,
}

/// What formulas may use of a layer, run once.
pub const ROW_NAMES: &[(&str, &str)] = &[
    ("matmul", "FLOPs of its matrix products, 2 a multiply-add: matmul_flops"),
    ("vector", "vector_flops"),
    ("transcendental", "transcendentals"),
    ("backward_matmul", "backward_matmul_flops; 0 outside training"),
    ("params", "learned scalars that count here: tied ones count once, elsewhere"),
    ("active_params", "those of them that a token uses"),
    ("bias_params", "those of `params` that are biases"),
    ("input_elements", "elements of its first input"),
    ("output_elements", "elements of its first output"),
    ("is_module", "whether PyTorch lists it in named_modules()"),
    ("calls", "how often it runs in a pass"),
    ("model_tokens", "batch_size times seq_len, of the whole model"),
];

const CONVENTION_KEYS: &[Key] = &[
    key("name", KeyKind::Text, true, "the name to call it by: lower case, words joined by hyphens"),
    key("aliases", KeyKind::Texts, false, "other names"),
    key("doc", KeyKind::Text, true, "what it counts, in a line"),
    key("source", KeyKind::Text, true, "where that is written down, with its version"),
    key("checked", KeyKind::Text, true, "on which models its figures were compared with the tool's own"),
    key("reference", KeyKind::Flag, false, "whether others are compared with it where none is named"),
    key("multiply_add", KeyKind::Count, true, "what a multiply-add counts as: 2 or 1"),
    key("terms", KeyKind::Variables, true, "what adds up to a layer's count"),
];

const TERM_KEYS: &[Key] = &[
    key("term", KeyKind::Text, true, "what it is called, as in other conventions"),
    key("doc", KeyKind::Text, true, "what the tool does here, and why"),
    key("classes", KeyKind::Texts, false, "the layers that it is of, by class"),
    key("roles", KeyKind::Texts, false, "or by role"),
    key("components", KeyKind::Texts, false, "or by the component that they are counted to in a model's summary"),
    key("names", KeyKind::Texts, false, "of those, only the layers that call their class so; `*` stands for any text"),
    key("except_classes", KeyKind::Texts, false, "classes left out"),
    key("except_roles", KeyKind::Texts, false, "roles left out"),
    key("except_components", KeyKind::Texts, false, "components left out"),
    key("when", KeyKind::Text, false, "a condition beside that"),
    key("of_all_runs", KeyKind::Flag, false, "whether the formulas are of all runs of a layer together, not of one"),
    key("products", KeyKind::Text, false, "FLOPs of multiply-adds at 2 each; halved where the convention counts them as 1"),
    key("flops", KeyKind::Text, false, "other FLOPs"),
    key("backward", KeyKind::Text, false, "those of the backward pass, of the same kind; left out: not counted"),
];

/// Reads a convention; `None` if it is unusable. What is wrong goes to `diagnostics`.
pub fn parse_convention(node: &Node, diagnostics: &mut Diagnostics) -> Option<Convention> {
    let f = fields(node, "a convention", CONVENTION_KEYS, &[], diagnostics)?;
    // All are read before any is missed, so that all that is wrong is said.
    let [name, doc, source, checked] =
        ["name", "doc", "source", "checked"].map(|key| f.get(key).and_then(|n| text(n, diagnostics)));
    let aliases = texts(f.get("aliases"), diagnostics);
    let reference = f.get("reference").and_then(|n| flag(n, diagnostics)).unwrap_or(false);
    let multiply_add = f.get("multiply_add").and_then(|n| multiply_add(n, diagnostics));
    let terms = f.get("terms").and_then(|n| list(n, "a list of terms", term, diagnostics));
    if let Some(node) = f.get("name").filter(|node| !node.text().is_none_or(|name| is_name(name))) {
        wrong(node, "lower-case words and digits joined by hyphens", diagnostics);
        return None;
    }
    Some(Convention {
        name: name?,
        aliases,
        doc: doc?,
        source: source?,
        checked: checked?,
        reference,
        multiply_add: multiply_add?,
        terms: terms?,
        span: node.span.part(0..1),
    })
}

/// Whether a name can be given on a command line, among others.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn multiply_add(node: &Node, diagnostics: &mut Diagnostics) -> Option<u8> {
    match &node.json {
        Json::Number(number) if &**number == "1" => Some(1),
        Json::Number(number) if &**number == "2" => Some(2),
        _ => {
            wrong(node, "1 or 2", diagnostics);
            None
        }
    }
}

fn term(node: &Node, diagnostics: &mut Diagnostics) -> Option<CountedTerm> {
    let f = fields(node, "a term", TERM_KEYS, &[], diagnostics)?;
    let [name, doc] = ["term", "doc"].map(|key| f.get(key).and_then(|n| text(n, diagnostics)));
    let [classes, names, except_classes] = ["classes", "names", "except_classes"].map(|key| texts(f.get(key), diagnostics));
    let [roles, components, except_roles, except_components] = ["roles", "components", "except_roles", "except_components"]
        .map(|key| f.get(key).map_or(Some(Vec::new()), |n| list(n, "a list of roles", role, diagnostics)));
    let of_all_runs = f.get("of_all_runs").and_then(|n| flag(n, diagnostics)).unwrap_or(false);
    let free = !classes.is_empty();
    let [when, products, flops, backward] =
        ["when", "products", "flops", "backward"].map(|key| f.get(key).map(|n| row_formula(n, free, diagnostics)));
    let (forward, is_products) = match (products, flops) {
        (Some(products), None) => (products, true),
        (None, Some(flops)) => (flops, false),
        _ => {
            let diagnostic = Diagnostic::new(Code::MissingKey, "a term has either `products` or `flops`");
            diagnostics.push(diagnostic.at(node.span.part(0..1), "one of them says what it counts"));
            return None;
        }
    };
    // An absent condition is none; one that can't be read leaves no term.
    let read = |given: Option<Option<RowFormula>>| given.map_or(Some(None), |formula| formula.map(Some));
    Some(CountedTerm {
        term: name?,
        doc: doc?,
        of: Selector {
            classes,
            names,
            roles: roles?,
            components: components?,
            except_classes,
            except_roles: except_roles?,
            except_components: except_components?,
        },
        when: read(when)?,
        of_all_runs,
        products: is_products,
        forward: forward?,
        backward: read(backward)?,
    })
}

fn role(node: &Node, diagnostics: &mut Diagnostics) -> Option<Role> {
    Role::read(&Spanned { value: text(node, diagnostics)?, span: node.span }, diagnostics)
}

/// A formula over what a layer is; `free`: it may use the names of classes.
fn row_formula(node: &Node, free: bool, diagnostics: &mut Diagnostics) -> Option<RowFormula> {
    let (text, expr) = formula(node, |name, span| if free { None } else { unknown(name, span) }, diagnostics)?;
    Some(RowFormula { text, expr, span: node.span })
}

/// What to say of a name that isn't known of every layer.
fn unknown(name: &str, span: Span) -> Option<Diagnostic> {
    let names = || [ROW_NAMES, VARIABLES, CONVENTIONS].into_iter().flatten().map(|(name, _)| *name);
    (!names().any(|known| known == name)).then(|| {
        Diagnostic::new(Code::UnknownVariable, format!("unknown name `{name}` in a formula"))
            .at(span, "nothing that is known of every layer")
            .did_you_mean(span, nearest(name, names()))
            .help(format!("there are {}", ROW_NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")))
            .help("a term with `classes` may use the names of their formulas, too")
    })
}
