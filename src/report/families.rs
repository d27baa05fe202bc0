//! docs/families-table.md: every family, and what of it is checked here.

use std::fmt::Write as _;

use super::{escape_markdown, units};
use crate::catalog::Catalog;

/// A model of `models/` that is of a family, and the facts that every compile of it checks.
struct Checked<'a> {
    file: &'a str,
    params: Option<u64>,
    /// Workload-dependent facts: their names and how many of each.
    facts: Vec<(String, usize)>,
}

/// The table of families with what is checked, as Markdown.
#[must_use]
pub fn families_page(catalog: &Catalog) -> String {
    let mut out = String::from(
        "# Families\n\nGenerated from `catalog/families/` and `models/` (`UPDATE=1 cargo test --test it fresh`); how to add one: [families.md](families.md).\n\
         A model's facts are PyTorch's and are checked at every compile: parameters, and at stated workloads the quantities named, with how many workloads.\n\n\
         | family | extends | model types | heads | checked with |\n|---|---|---|---|---|\n",
    );
    let mut names: Vec<&str> = catalog.family_names().collect();
    names.sort_unstable();
    let models: Vec<(&str, serde_json::Value)> =
        catalog.models().iter().filter_map(|model| Some((model.name, serde_json::from_str(model.text).ok()?))).collect();
    for family in names.into_iter().filter_map(|name| catalog.family(name)?.ok()) {
        let types = match family.is_base() {
            true => vec!["(a base: no config is of it)".to_owned()],
            false => family.model_types.iter().map(|t| format!("`{t}`")).collect(),
        };
        let heads: Vec<&str> = family.heads.iter().map(|head| &*head.name.value).collect();
        let own = models.iter().filter(|(_, model)| model.get("family").and_then(|f| f.as_str()) == Some(&*family.name));
        let checked: Vec<String> = own.map(|(file, model)| shown(&checked(file, model))).collect();
        let base = family.extends.as_ref().map_or("", |base| &base.value);
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | {} |",
            family.name,
            escape_markdown(base),
            types.join(" "),
            heads.join(" "),
            checked.join("<br>")
        );
    }
    out
}

fn checked<'a>(file: &'a str, model: &serde_json::Value) -> Checked<'a> {
    let expect = model.get("expect");
    let mut facts: Vec<(String, usize)> = Vec::new();
    for point in expect.and_then(|e| e.get("points")).and_then(|p| p.as_array()).into_iter().flatten() {
        for name in point.as_object().into_iter().flat_map(|point| point.keys()).filter(|name| *name != "workload") {
            match facts.iter_mut().find(|(known, _)| known == name) {
                Some((_, count)) => *count += 1,
                None => facts.push((name.clone(), 1)),
            }
        }
    }
    Checked { file, params: expect.and_then(|e| e.get("params")).and_then(serde_json::Value::as_u64), facts }
}

fn shown(checked: &Checked<'_>) -> String {
    let params = checked.params.map(|n| format!(" {} params", units::exact(u128::from(n))));
    let facts: Vec<String> = checked.facts.iter().map(|(name, count)| format!("{name} x{count}")).collect();
    let more = if facts.is_empty() { String::new() } else { format!(", {}", facts.join(", ")) };
    format!("{}{}{more}", escape_markdown(checked.file), params.unwrap_or_default())
}
