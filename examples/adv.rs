use layerspec::*;
struct S<'a>(&'a source::Source, &'a catalog::Catalog);
impl diag::Sources for S<'_> {
    fn source(&self, id: source::SourceId) -> Option<source::Source> {
        if id == source::SourceId::MODEL { Some(self.0.clone()) } else { self.1.source(id) }
    }
}
fn run() {
    let path = std::env::args().nth(1).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let t = std::time::Instant::now();
    let source = source::Source::load(source::SourceId::MODEL, &path, &bytes).unwrap();
    let cat = catalog::Catalog::new();
    let mut d = diag::Diagnostics::default();
    let c = compile::compile(&source, &cat, &workload::Request::default(), &mut d);
    let e = t.elapsed();
    for x in d.sorted().into_iter().take(20) { print!("{}", diag::render(x, &S(&source, &cat), false)); }
    let e2 = t.elapsed();
    let mem = std::fs::read_to_string("/proc/self/status").unwrap().lines().find(|l| l.starts_with("VmHWM")).unwrap().to_owned();
    println!("## errors {} rows {} compile {:.2?} with rendering {:.2?} {}", d.errors(), c.as_ref().map_or(0, |c| c.flat.rows.len()), e, e2, mem);
    drop(c);
}
fn main() {
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
}
