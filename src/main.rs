use layerspec::*;
struct S<'a>(&'a source::Source, &'a catalog::Catalog);
impl diag::Sources for S<'_> {
    fn source(&self, id: source::SourceId) -> Option<source::Source> {
        if id == source::SourceId::MODEL { Some(self.0.clone()) } else { self.1.source(id) }
    }
}
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let source = source::Source::load(source::SourceId::MODEL, &path, &bytes).unwrap();
    let cat = catalog::Catalog::new();
    let mut d = diag::Diagnostics::default();
    let c = compile::compile(&source, &cat, &workload::Request::default(), &mut d);
    for x in d.sorted() {
        print!("{}", diag::render(x, &S(&source, &cat), false));
    }
    if let Some(c) = c {
        for (r, i) in c.report.rows.iter().zip(&c.flat.rows) {
            println!("{} {} {} {}", i.path, i.repeats, r.total.params(), r.total.matmul_flops());
        }
        println!("{:?} {} {}", c.report.totals, c.report.layers, c.report.modules);
        println!("{}", c.flat.instances().count());
    }
}
