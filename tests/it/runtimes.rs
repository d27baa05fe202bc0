//! What engines make of models.

use layerspec::{Evaluation, Execution, Lowered, Phase, Quantity, RunOptions, Workload};

use crate::support::SESSION;

fn asked(runtime: &str, workload: &Workload) -> (Workload, Execution) {
    let options = RunOptions { runtime: Some(runtime.into()), ..RunOptions::default() };
    let mut workload = workload.clone();
    let (execution, remark) = options.execution(&mut workload, SESSION.catalog()).unwrap();
    assert!(remark.is_none());
    (workload, execution)
}

fn lowered(model: &layerspec::Model, execution: Execution) -> Lowered {
    model.lowered(&execution).into_result().unwrap_or_else(|failure| panic!("{failure}"))
}

fn at(lowered: &Lowered, workload: &Workload) -> Evaluation {
    try_at(lowered, workload).unwrap_or_else(|failure| panic!("{failure}"))
}

fn try_at(lowered: &Lowered, workload: &Workload) -> Result<Evaluation, String> {
    lowered.sketch(workload).into_result().map_err(|failure| failure.to_string())
}

fn moved(at: &Evaluation) -> u128 {
    use Quantity::{ActivationsRead, ActivationsWritten, CacheRead, CacheWritten, WeightsRead};
    [WeightsRead, ActivationsRead, ActivationsWritten, CacheRead, CacheWritten]
        .map(|quantity| at.totals().get(quantity))
        .iter()
        .sum()
}

/// Parameters and their bytes never change, FLOPs are those of the same mathematics run eagerly, no shape is another, and nobody moves less than `ideal`.
#[test]
fn what_runs_as_one_is_what_it_stands_for() {
    let mut wrong = Vec::new();
    for file in SESSION.catalog().models() {
        let model = SESSION.load(file.name).into_result().unwrap();
        for workload in [Workload::prefill(2, 96), Workload::decode(3, 130)] {
            let mut least = None;
            for runtime in ["ideal", "vllm", "llama.cpp"] {
                let (workload, execution) = asked(runtime, &workload);
                let own = match try_at(&lowered(&model, execution), &workload) {
                    Ok(own) => own,
                    Err(why) => {
                        wrong.push(format!("{} {runtime}: {why}", file.name));
                        continue;
                    }
                };
                let eager = at(&lowered(&model, Execution { runtime: None, ..execution }), &workload);
                let plain = at(&lowered(&model, Execution::default()), &workload);
                let place = || format!("{} {} {}", file.name, runtime, own.workload().phase.word());
                for quantity in [Quantity::Params, Quantity::WeightBytes, Quantity::ActiveParams] {
                    let (a, b) = (own.totals().get(quantity), plain.totals().get(quantity));
                    if a != b {
                        wrong.push(format!("{}: {} {a}, eager {b}", place(), quantity.name()));
                    }
                }
                for quantity in [
                    Quantity::MatmulFlops,
                    Quantity::VectorFlops,
                    Quantity::Transcendentals,
                    Quantity::CacheBytes,
                    Quantity::WeightsRead,
                    Quantity::CacheRead,
                ] {
                    let (a, b) = (own.totals().get(quantity), eager.totals().get(quantity));
                    if a != b {
                        wrong.push(format!("{}: {} {a}, eager {b}", place(), quantity.name()));
                    }
                }
                let bytes = moved(&own);
                match least {
                    None => least = Some(bytes),
                    Some(least) if least > bytes => wrong.push(format!("{}: moves {bytes}, ideal {least}", place())),
                    Some(_) => {}
                }
                if bytes > moved(&eager) {
                    wrong.push(format!("{}: moves {bytes}, eager {}", place(), moved(&eager)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// DeepSeek-V3 at 32 x 4,096. Of the rest all products but the up-projection of the latents, which eager runs over the whole cache; attention of 128
/// heads over latents of 576 and 512; the up-projection applied to queries and results.
#[test]
fn deepseek_v3_decodes_over_latents() {
    let model = SESSION.load("deepseek-v3").into_result().unwrap();
    let workload = Workload::decode(32, 4095);
    let eager = at(&lowered(&model, Execution::default()), &workload);
    assert_eq!(eager.totals().get(Quantity::MatmulFlops), 271_214_295_646_208);
    let (workload, execution) = asked("vllm", &workload);
    let own = at(&lowered(&model, execution), &workload);
    let (layers, rows, heads) = (61u128, 32u128, 128u128);
    let attention = layers * rows * heads * 4096 * 2 * (576 + 512);
    let absorbed = layers * rows * heads * 2 * (128 * 512 + 512 * 128);
    let up = layers * rows * 4096 * 2 * 512 * heads * (128 + 128);
    let over_heads = layers * rows * heads * 4096 * 2 * (192 + 128);
    let rest = 271_214_295_646_208 - up - over_heads;
    assert_eq!((attention, absorbed, rest), (2_226_940_542_976, 65_498_251_264, 2_278_475_956_224));
    assert_eq!(own.totals().get(Quantity::MatmulFlops), 4_570_914_750_464);
    assert_eq!(own.totals().get(Quantity::MatmulFlops), attention + absorbed + rest);
    assert_eq!(own.workload().phase, Phase::Decode);
}
