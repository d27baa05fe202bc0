//! Questions on a model that an engine is to serve, and how they are answered.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::load::Loaded;
use super::place::{Moved, Placed};
use super::plan::{Chosen, Figure, ServingPlan, Taken};
use super::pool::Pool;
use super::ranks::Ranks;
use super::served::{Reach, Served};
use crate::catalog::{Certainty, Device, EngineOption, OptionKind, Runtime, Serving, in_version};
use crate::evaluation::Evaluation;
use crate::syntax::diag::{Code, Diagnostic};
use crate::syntax::expr::{Exact, Value};

/// What is asked of an engine.
#[derive(Debug)]
pub struct ServingAsked<'a> {
    /// The engine.
    pub runtime: &'a Runtime,
    /// Its rules.
    pub serving: &'a Serving,
    /// Its version; `None`: the newest that is known.
    pub version: Option<&'a str>,
    /// Its options as they were given, by their names in formulas.
    pub options: &'a [(Arc<str>, Value)],
    /// The model's tensors by the names that the engine has for them, where it can leave some of them to the processor.
    pub tensors: Option<&'a [(Arc<str>, u128)]>,
    /// Those that are to be somewhere else than by themselves.
    pub moved: &'a [Moved],
}

/// Where and how much.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Each of the devices.
    pub device: &'a Device,
    /// How many, and how the model is divided.
    pub ranks: Ranks,
    /// Tokens of a request at most; `None`: as many as the model has positions.
    pub context: Option<u64>,
    /// Requests at once.
    pub concurrency: u64,
}

/// What was loaded over these ranks, with so many layers on the device.
#[derive(Debug)]
struct Remembered {
    ranks: Ranks,
    on_device: u128,
    loaded: Loaded,
    placed: Option<Placed>,
}

/// A model that an engine is to serve.
#[derive(Debug)]
pub struct Question<'a> {
    pub(super) model: &'a Evaluation,
    pub(super) asked: ServingAsked<'a>,
    served: Served,
    /// What was loaded last: lengths and devices don't change it.
    loaded: RefCell<Option<Remembered>>,
}

impl<'a> Question<'a> {
    /// A question on a model.
    #[must_use]
    pub fn new(model: &'a Evaluation, asked: ServingAsked<'a>) -> Self {
        Question { model, asked, served: Served::of(model), loaded: RefCell::default() }
    }

    /// What the engine makes of a place.
    ///
    /// # Errors
    /// An option that makes no sense, ranks that don't divide the model, a formula of the file that has no value.
    pub fn plan(&self, place: &Place<'_>) -> Result<ServingPlan, Box<Diagnostic>> {
        self.divides(&place.ranks)?;
        let ServingAsked { serving, version, .. } = &self.asked;
        let length = place.context.or_else(|| u64::try_from(self.served.positions).ok()).filter(|length| *length > 0);
        let Some(length) = length else {
            let message = "the model doesn't say how many positions it has";
            return Err(Diagnostic::new(Code::InvalidWorkload, message)
                .help("`--context 8k` says how long a request may be")
                .boxed());
        };
        let mut values = self.values(place, length);
        let options = self.options(&mut values)?;
        let beyond = |what: &str| {
            let message = format!("`{}` in the file of `{}` has no value here", what, self.asked.runtime.name);
            Box::new(Diagnostic::new(Code::InvalidWorkload, message).help("a name is null, or a size beyond 128 bits"))
        };
        let value = |name: &str| values.get(name).cloned();
        let (loaded, placed) = self.loaded(place, &value)?.ok_or_else(|| beyond("weights"))?;
        let may_take = serving.may_take.count(&value).ok_or_else(|| beyond("may_take"))?;
        values.insert("weights".to_owned(), count(loaded.bytes));
        let beside = self.beside(&values).ok_or_else(|| beyond("beside"))?;
        let value = |name: &str| values.get(name).cloned();
        let pool = Pool::of(&self.served, &serving.cache, &place.ranks, u128::from(length), &value);
        let mut pool = pool.ok_or_else(|| beyond("cache"))?;
        if let Some(placed) = placed.as_ref().filter(|placed| placed.layers_on_device < placed.layers) {
            pool.leave(placed.layers_on_device, placed.layers);
        }
        let taken =
            |of: fn(&Figure) -> u128| beside.iter().fold(loaded.bytes, |sum, taken| sum.saturating_add(of(&taken.figure)));
        let all = [taken(|figure| figure.high), taken(|figure| figure.usual), taken(|figure| figure.low)];
        let available = all.map(|taken| may_take.saturating_sub(taken));
        let room = available.map(|bytes| pool.room(bytes, &serving.cache, *version, u128::from(length)));
        let reported = place.device.memory_reported;
        Ok(ServingPlan {
            options,
            device_bytes: device_bytes(place.device),
            device_certainty: if reported.is_some() { Certainty::Exact } else { Certainty::Assumed },
            may_take,
            missing: all.get(1).map_or(0, |taken| taken.saturating_sub(may_take)),
            loaded,
            placed,
            beside,
            pool,
            available,
            room,
            length,
            concurrency: place.concurrency,
            ranks: place.ranks,
            layout: serving.cache.layout,
        })
    }

    /// Whether ranks divide the model as the engine does.
    fn divides(&self, ranks: &Ranks) -> Result<(), Box<Diagnostic>> {
        let Served { query_heads, experts, .. } = self.served;
        let wrong = |message: String, help: String| Err(Diagnostic::new(Code::InvalidWorkload, message).help(help).boxed());
        let divisors = |of: u128| {
            let all: Vec<String> = (1..=of.min(1024)).filter(|n| of.is_multiple_of(*n)).map(|n| n.to_string()).collect();
            all.join(", ")
        };
        if query_heads > 0 && !query_heads.is_multiple_of(ranks.tensor) {
            let message = format!("{query_heads} query heads can't be divided over {} ranks", ranks.tensor);
            return wrong(message, format!("`--tp` is one of {}", divisors(query_heads)));
        }
        for kept in &self.served.kept {
            let [more, fewer] = [kept.kv_heads.max(ranks.tensor), kept.kv_heads.min(ranks.tensor)];
            if fewer > 1 && !more.is_multiple_of(fewer) {
                let message = format!(
                    "{} key and value heads can be neither divided over {} ranks nor copied",
                    kept.kv_heads, ranks.tensor
                );
                return wrong(message, format!("`--tp` is one of {}, or a multiple", divisors(kept.kv_heads)));
            }
        }
        if ranks.expert > 1 && (experts == 0 || !experts.is_multiple_of(ranks.expert)) {
            let message = match experts {
                0 => "the model has no experts that could be dealt out".to_owned(),
                _ => format!("{experts} experts can't be dealt out over {} ranks", ranks.expert),
            };
            return wrong(message, format!("`--ep` is one of {}", divisors(experts.max(1))));
        }
        if ranks.pipeline > self.served.layers().max(1) {
            let message = format!("{} layers can't be dealt out over {} stages", self.served.layers(), ranks.pipeline);
            return wrong(message, "`--pp` is at most the number of layers".to_owned());
        }
        Ok(())
    }

    /// The values of names in formulas, but for the engine's options.
    pub(super) fn values(&self, place: &Place<'_>, length: u64) -> HashMap<String, Value> {
        let workload = &self.model.bound.workload;
        let served = &self.served;
        let windows = served.kept.iter().map(|kept| if let Reach::Window(tokens) = kept.reach { tokens } else { 0 });
        let counts = [
            ("device_bytes", device_bytes(place.device)),
            ("tensor", place.ranks.tensor),
            ("pipeline", place.ranks.pipeline),
            ("expert", place.ranks.expert),
            ("context", u128::from(length)),
            ("concurrency", u128::from(place.concurrency)),
            ("hidden", served.hidden),
            ("intermediate", served.intermediate),
            ("vocabulary", served.vocabulary),
            ("query_heads", served.query_heads),
            ("layers", served.layers()),
            ("positions", served.positions),
            ("rotary", served.rotary),
            ("conv_kernel", served.conv_kernel()),
            ("window", windows.max().unwrap_or_default()),
        ];
        let mut values: HashMap<String, Value> = counts.into_iter().map(|(name, n)| (name.to_owned(), count(n))).collect();
        values.insert("device".to_owned(), Value::Text(place.device.name.clone()));
        values.insert("device_kind".to_owned(), Value::Text(place.device.kind.clone()));
        values.insert("dtype_bytes".to_owned(), Value::Number(workload.dtype.bytes()));
        values.insert("kv_dtype_bytes".to_owned(), Value::Number(workload.kv_dtype.bytes()));
        values
    }

    /// All options: as given, else as they are by themselves.
    pub(super) fn options(&self, values: &mut HashMap<String, Value>) -> Result<Vec<Chosen>, Box<Diagnostic>> {
        let ServingAsked { serving, version, options, runtime, .. } = &self.asked;
        for (name, _) in options.iter() {
            if serving.options.iter().all(|known| known.name != *name) {
                let known: Vec<&str> = serving.options.iter().map(|known| &*known.typed).collect();
                let message = format!("`{}` has no option `{name}`", runtime.name);
                return Err(Diagnostic::new(Code::NotOfRuntime, message).help(format!("it has {}", known.join(", "))).boxed());
            }
        }
        let mut all = Vec::with_capacity(serving.options.len());
        for option in &serving.options {
            let given = options.iter().rev().find(|(name, _)| *name == option.name).map(|(_, value)| value.clone());
            let is_given = given.is_some();
            let value = match given {
                Some(value) => value,
                None => {
                    let formula = in_version(&option.defaults, *version);
                    let value = formula.and_then(|formula| formula.value(&|name: &str| values.get(name).cloned()).ok());
                    value.ok_or_else(|| {
                        let message = format!("the default of `{}` has no value here", option.typed);
                        Box::new(Diagnostic::new(Code::InvalidWorkload, message))
                    })?
                }
            };
            is_right(option, &value)?;
            values.insert(option.name.to_string(), value.clone());
            all.push(Chosen { typed: option.typed.clone(), value, is_given });
        }
        Ok(all)
    }

    /// What a rank loads, and what of it is left to the processor. `None`: a formula has no value.
    fn loaded(
        &self,
        place: &Place<'_>,
        of: &dyn Fn(&str) -> Option<Value>,
    ) -> Result<Option<(Loaded, Option<Placed>)>, Box<Diagnostic>> {
        let rules = &self.asked.serving.weights;
        let option = rules.places.as_ref().and_then(|places| of(&places.layers_on_device));
        let on_device = option.and_then(|value| value.as_number()?.to_count()).unwrap_or(u128::MAX);
        if let Some(known) = &*self.loaded.borrow()
            && (known.ranks, known.on_device) == (place.ranks, on_device)
        {
            return Ok(Some((known.loaded.clone(), known.placed)));
        }
        let Some(mut loaded) = Loaded::of(self.model, &self.served, self.asked.serving, &place.ranks, of) else {
            return Ok(None);
        };
        let placed = self.placed(on_device)?;
        if let Some(placed) = &placed {
            loaded.place(placed, &place.ranks);
        }
        *self.loaded.borrow_mut() = Some(Remembered { ranks: place.ranks, on_device, loaded: loaded.clone(), placed });
        Ok(Some((loaded, placed)))
    }

    /// Where tensors are, for an engine that can leave some of them to the processor.
    fn placed(&self, on_device: u128) -> Result<Option<Placed>, Box<Diagnostic>> {
        let ServingAsked { serving, runtime, tensors, moved, options, .. } = &self.asked;
        let Some(rules) = &serving.weights.places else {
            if moved.is_empty() {
                return Ok(None);
            }
            let message = format!("`{}` leaves no tensors to the processor", runtime.name);
            return Err(Diagnostic::new(Code::NotOfRuntime, message).help("leave out `--offload`").boxed());
        };
        let Some(tensors) = tensors else {
            let asks = !moved.is_empty() || options.iter().any(|(name, _)| *name == rules.layers_on_device);
            if !asks {
                return Ok(None);
            }
            let message = format!("no names of tensors are known for this model in `{}`", runtime.name);
            return Err(Diagnostic::new(Code::UnmappedCheckpoint, message)
                .help("all of it is on the device without these options")
                .boxed());
        };
        for moved in *moved {
            if tensors.iter().all(|(name, _)| !moved.pattern.is_match(name)) {
                let message = format!("no tensor's name has `{}` in it", moved.pattern.as_str());
                let some: Vec<&str> = tensors.iter().take(4).map(|(name, _)| &**name).collect();
                return Err(Diagnostic::new(Code::InvalidWorkload, message)
                    .help(format!("names are like {}", some.join(", ")))
                    .boxed());
            }
        }
        Ok(Placed::of(tensors, rules, on_device, moved))
    }

    /// What is taken beside weights and cache.
    fn beside(&self, values: &HashMap<String, Value>) -> Option<Vec<Taken>> {
        let ServingAsked { serving, version, .. } = &self.asked;
        let value = |name: &str| values.get(name).cloned();
        let mut all = Vec::with_capacity(serving.beside.len());
        for beside in serving.beside.iter().filter(|beside| beside.is_in(*version)) {
            if let Some(when) = &beside.when
                && !when.value(&value).ok()?.as_bool()?
            {
                continue;
            }
            let mut parts = Vec::with_capacity(beside.largest_of.len());
            for (name, formula) in &beside.largest_of {
                parts.push((formula.count(&value)?, name));
            }
            let (usual, name) = parts.iter().max_by_key(|(bytes, _)| *bytes)?;
            let usual = *usual;
            let with = |name: &str| if name == "usual" { Some(count(usual)) } else { value(name) };
            let [low, high] = &beside.band;
            all.push(Taken {
                name: beside.name.clone(),
                figure: Figure { low: low.count(&with)?, usual, high: high.count(&with)?, certainty: beside.certainty },
                decides: (parts.len() > 1).then(|| (*name).clone()),
                doc: beside.doc.clone(),
            });
        }
        Some(all)
    }

    /// The longest requests of which as many as are asked for find room, as usual. `None`: not even one token.
    #[must_use]
    pub fn longest_context(&self, place: &Place<'_>) -> Option<u64> {
        let fits = |length: u64| self.plan(&Place { context: Some(length), ..*place }).is_ok_and(|plan| plan.fits());
        // Memory never shrinks with the length; no model is served beyond this.
        let (mut least, mut most) = (0u64, 1 << 32);
        while least < most {
            let middle = least + (most - least).div_ceil(2);
            if fits(middle) { least = middle } else { most = middle - 1 }
        }
        (least > 0).then_some(least)
    }

    /// The fewest ranks over which layers are divided so that it fits, up to 1,024.
    #[must_use]
    pub fn fewest_ranks(&self, place: &Place<'_>) -> Option<u128> {
        (0..=10).map(|power| 1u128 << power).find(|tensor| {
            let ranks = Ranks { tensor: *tensor, expert: place.ranks.expert.min(*tensor), ..place.ranks };
            self.plan(&Place { ranks, ..*place }).is_ok_and(|plan| plan.fits())
        })
    }

    /// The device with the least memory among these on which it fits, as often as asked.
    #[must_use]
    pub fn smallest_device<'d>(&self, place: &Place<'_>, devices: &'d [Arc<Device>]) -> Option<&'d Arc<Device>> {
        let mut all: Vec<&Arc<Device>> = devices.iter().collect();
        all.sort_by_key(|device| device_bytes(device));
        all.into_iter().find(|device| self.plan(&Place { device, ..*place }).is_ok_and(|plan| plan.fits()))
    }
}

/// Whether an option has a value that it can have.
fn is_right(option: &EngineOption, value: &Value) -> Result<(), Box<Diagnostic>> {
    let (is_right, expected) = match option.kind {
        OptionKind::Share => {
            let is_share = value.as_number().is_some_and(|n| n > Exact::ZERO && n <= Exact::integer(1));
            (is_share, "more than 0, at most 1".to_owned())
        }
        OptionKind::Count => (value.as_number().is_some_and(|n| n.to_count().is_some()), "an integer, 0 or more".to_owned()),
        OptionKind::Flag => (value.as_bool().is_some(), "true or false".to_owned()),
        OptionKind::Word => {
            let is_choice = matches!(value, Value::Text(word) if option.choices.contains(word));
            (is_choice, format!("one of {}", option.choices.join(", ")))
        }
    };
    if is_right {
        return Ok(());
    }
    let message = format!("`{}` is {expected}, not {value}", option.typed);
    Err(Diagnostic::new(Code::InvalidWorkload, message).help(option.doc.to_string()).boxed())
}

/// Bytes that a device says it has: of those of which that isn't known, 98.5 per cent of what its vendor says, as those of which it is have 98.1 to
/// 98.9 (those that keep a sixteenth for error correction, 92).
fn device_bytes(device: &Device) -> u128 {
    device.memory_reported.unwrap_or_else(|| device.memory_capacity.saturating_mul(985) / 1000)
}

fn count(n: u128) -> Value {
    Exact::from_count(n).map_or(Value::Null, Value::Number)
}
