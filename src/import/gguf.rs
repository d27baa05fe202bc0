//! GGUF, versions 2 and 3, in both byte orders: the header of a file, read from a stream.
//!
//! Source of the layout: ggml docs/gguf.md and gguf.cpp. No length that the file claims allocates anything before as many bytes were there.

use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::Arc;

use super::contents::{Contents, Datum, Held, Metadatum};
use crate::catalog::{Catalog, StorageType};
use crate::quantity::product;
use crate::syntax::diag::{Code, Diagnostic};

/// What such a file begins with.
pub const MAGIC: [u8; 4] = *b"GGUF";

/// The most bytes of a header that are read: tokenizers are some 20 MB.
const MOST_HEADER: u64 = 1 << 30;
/// The most tensors, and the most keys.
const MOST_ENTRIES: u64 = 1_000_000;
/// ggml's GGML_MAX_DIMS is 4; files of others may have more.
const MOST_DIMS: u32 = 8;
/// Lists in lists.
const MOST_NESTED: u32 = 4;
/// ggml's GGUF_DEFAULT_ALIGNMENT.
const DEFAULT_ALIGNMENT: u64 = 32;

type Result<T> = std::result::Result<T, Box<Diagnostic>>;

/// A stream with its place in the file.
struct Stream<'r> {
    from: &'r mut dyn Read,
    at: u64,
    /// Bytes of the whole file; `None`: it comes through a pipe.
    file_bytes: Option<u64>,
    is_big_endian: bool,
}

fn wrong(message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Code::MalformedCheckpoint, message)
}

impl Stream<'_> {
    fn error(&self, what: &str, error: &io::Error) -> Box<Diagnostic> {
        let at = self.at;
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return wrong(format!("the file ends at byte {at}, in {what}"))
                .help("it may have been cut short: download it again")
                .boxed();
        }
        Diagnostic::new(Code::CannotRead, format!("cannot read {what} at byte {at}: {error}")).boxed()
    }

    /// Whether so many bytes can still come.
    fn has(&self, bytes: u64, what: &str) -> Result<()> {
        let left = self.file_bytes.unwrap_or(u64::MAX).saturating_sub(self.at);
        let room = MOST_HEADER.saturating_sub(self.at);
        if bytes > left {
            let message = format!("{what} at byte {} is said to take {bytes} bytes, and the file has {left} more", self.at);
            return Err(wrong(message).help("it is no GGUF file, or it was cut short").boxed());
        }
        if bytes > room {
            return Err(wrong(format!("{what} at byte {} makes the header longer than {MOST_HEADER} bytes", self.at)).boxed());
        }
        Ok(())
    }

    fn bytes<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes).map_err(|error| self.error(what, &error))?;
        self.at += N as u64;
        if self.is_big_endian {
            bytes.reverse();
        }
        Ok(bytes)
    }

    fn u32(&mut self, what: &str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.bytes(what)?))
    }

    fn u64(&mut self, what: &str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.bytes(what)?))
    }

    /// A text, of which so many bytes are kept.
    fn text(&mut self, what: &str, most: usize) -> Result<Arc<str>> {
        let length = self.u64(what)?;
        self.has(length, what)?;
        let mut kept = Vec::new();
        let take = length.min(most as u64);
        self.copy(take, &mut kept, what)?;
        self.skip(length - take, what)?;
        // A text that is cut may end in the midst of a character.
        let text = String::from_utf8_lossy(&kept);
        Ok(if length > take { text.trim_end_matches('\u{fffd}').into() } else { text.into() })
    }

    fn copy(&mut self, bytes: u64, to: &mut Vec<u8>, what: &str) -> Result<()> {
        let read = self.from.take(bytes).read_to_end(to).map_err(|error| self.error(what, &error))? as u64;
        self.at += read;
        if read < bytes { Err(self.error(what, &io::ErrorKind::UnexpectedEof.into())) } else { Ok(()) }
    }

    fn skip(&mut self, bytes: u64, what: &str) -> Result<()> {
        let skipped = io::copy(&mut self.from.take(bytes), &mut io::sink()).map_err(|error| self.error(what, &error))?;
        self.at += skipped;
        if skipped < bytes { Err(self.error(what, &io::ErrorKind::UnexpectedEof.into())) } else { Ok(()) }
    }

    /// What stands under a key, of this type of GGUF.
    fn datum(&mut self, kind: u32, key: &str, depth: u32) -> Result<Datum> {
        Ok(match kind {
            0 => Datum::Integer(u8::from_le_bytes(self.bytes(key)?).into()),
            1 => Datum::Integer(i8::from_le_bytes(self.bytes(key)?).into()),
            2 => Datum::Integer(u16::from_le_bytes(self.bytes(key)?).into()),
            3 => Datum::Integer(i16::from_le_bytes(self.bytes(key)?).into()),
            4 => Datum::Integer(self.u32(key)?.into()),
            5 => Datum::Integer(i32::from_le_bytes(self.bytes(key)?).into()),
            6 => Datum::Float(f32::from_le_bytes(self.bytes(key)?).into()),
            7 => Datum::Bool(self.bytes::<1>(key)? != [0]),
            8 => Datum::Text(self.text(key, Datum::MOST_TEXT)?),
            9 => self.list(key, depth)?,
            10 => Datum::Integer(self.u64(key)?.into()),
            11 => Datum::Integer(i64::from_le_bytes(self.bytes(key)?).into()),
            12 => Datum::Float(f64::from_le_bytes(self.bytes(key)?)),
            other => {
                return Err(wrong(format!("`{key}` is of type {other}, which GGUF doesn't have, at byte {}", self.at)).boxed());
            }
        })
    }

    fn list(&mut self, key: &str, depth: u32) -> Result<Datum> {
        let (kind, len) = (self.u32(key)?, self.u64(key)?);
        let Some((of, least)) = item(kind) else {
            return Err(
                wrong(format!("`{key}` lists items of type {kind}, which GGUF doesn't have, at byte {}", self.at)).boxed()
            );
        };
        if depth >= MOST_NESTED {
            return Err(wrong(format!("`{key}` has lists in lists, more than {MOST_NESTED} deep")).boxed());
        }
        self.has(len.saturating_mul(least), &format!("the list `{key}`"))?;
        let most = if matches!(kind, 8 | 9) { Datum::MOST_TEXTS } else { Datum::MOST_ITEMS };
        let kept = len.min(most as u64);
        let mut items = Vec::new();
        for _ in 0..kept {
            items.push(self.datum(kind, key, depth + 1)?);
        }
        if matches!(kind, 8 | 9) {
            for _ in kept..len {
                self.pass(kind, key, depth + 1)?;
            }
        } else {
            self.skip((len - kept) * least, key)?;
        }
        Ok(Datum::List { of, len, items })
    }

    /// An item that isn't kept.
    fn pass(&mut self, kind: u32, key: &str, depth: u32) -> Result<()> {
        if kind == 8 {
            let length = self.u64(key)?;
            self.has(length, key)?;
            return self.skip(length, key);
        }
        self.datum(kind, key, depth).map(drop)
    }
}

/// What items of a type are called, and the least bytes of each.
fn item(kind: u32) -> Option<(&'static str, u64)> {
    const ITEMS: [(&str, u64); 13] = [
        ("UINT8", 1),
        ("INT8", 1),
        ("UINT16", 2),
        ("INT16", 2),
        ("UINT32", 4),
        ("INT32", 4),
        ("FLOAT32", 4),
        ("BOOL", 1),
        ("STRING", 8),
        ("ARRAY", 12),
        ("UINT64", 8),
        ("INT64", 8),
        ("FLOAT64", 8),
    ];
    ITEMS.get(kind as usize).copied()
}

/// A tensor as the header has it.
struct Info {
    name: Arc<str>,
    shape: Vec<u64>,
    kind: u32,
    offset: u64,
}

/// Reads the header of a GGUF file, its magic included; `file_bytes`: of the whole file, if it is known.
///
/// # Errors
/// What is wrong with it: it ends early, counts or lengths that it can't have, types of keys that GGUF doesn't have.
pub fn read_gguf(from: &mut dyn Read, file_bytes: Option<u64>, catalog: &Catalog) -> Result<Contents> {
    let mut stream = Stream { from, at: 0, file_bytes, is_big_endian: false };
    if stream.bytes::<4>("the magic")? != MAGIC {
        return Err(wrong("this is no GGUF file: it doesn't begin with `GGUF`").boxed());
    }
    let mut version = stream.u32("the version")?;
    if version > 0xffff {
        (stream.is_big_endian, version) = (true, version.swap_bytes());
    }
    if !(2..=3).contains(&version) {
        let message = format!("version {version} of GGUF isn't read: versions 2 and 3 are");
        return Err(wrong(message).help("files of before October 2023 have version 1: convert them with llama.cpp").boxed());
    }
    let (tensors, keys) = (stream.u64("the number of tensors")?, stream.u64("the number of keys")?);
    for (count, what, least) in [(tensors, "tensors", 24u64), (keys, "keys", 13)] {
        let room = file_bytes.map_or(MOST_ENTRIES, |bytes| (bytes / least).min(MOST_ENTRIES));
        if count > room {
            return Err(wrong(format!("the file says that it has {count} {what}, and has room for {room}")).boxed());
        }
    }
    let mut metadata = Vec::new();
    for _ in 0..keys {
        let key = stream.text("the name of a key", Datum::MOST_TEXT)?;
        let kind = stream.u32(&key)?;
        let value = stream.datum(kind, &key, 0)?;
        metadata.push(Metadatum { key, value });
    }
    let mut infos = Vec::new();
    for _ in 0..tensors {
        infos.push(info(&mut stream)?);
    }
    let order = if stream.is_big_endian { ", big-endian" } else { "" };
    let mut contents =
        Contents { format: format!("GGUF v{version}{order}").into(), metadata, header_bytes: stream.at, ..Contents::default() };
    twice(&mut contents);
    placed(infos, &mut contents, file_bytes, catalog);
    Ok(contents)
}

fn info(stream: &mut Stream<'_>) -> Result<Info> {
    let name = stream.text("the name of a tensor", Datum::MOST_TEXT)?;
    let dims = stream.u32(&name)?;
    if dims > MOST_DIMS {
        return Err(wrong(format!("the tensor `{name}` is said to have {dims} dimensions, at byte {}", stream.at)).boxed());
    }
    let mut shape = Vec::new();
    for _ in 0..dims {
        shape.push(stream.u64(&name)?);
    }
    // ggml has the columns first.
    shape.reverse();
    if product(&shape).is_none() {
        return Err(wrong(format!("the tensor `{name}` is said to have more than 2^64 elements: {shape:?}")).boxed());
    }
    let (kind, offset) = (stream.u32(&name)?, stream.u64(&name)?);
    Ok(Info { name, shape, kind, offset })
}

/// Says which keys stand twice.
fn twice(contents: &mut Contents) {
    let mut seen = HashSet::new();
    let again: Vec<&str> = contents.metadata.iter().filter(|datum| !seen.insert(&datum.key)).map(|datum| &*datum.key).collect();
    if !again.is_empty() {
        contents.remarks.push(format!("keys that stand twice, of which the first counts: {}", again.join(", ")));
    }
}

/// The tensors with their bytes: by their type, or where it isn't known, or the file has other blocks, by where the next one begins.
fn placed(infos: Vec<Info>, contents: &mut Contents, file_bytes: Option<u64>, catalog: &Catalog) {
    let alignment = match contents.get("general.alignment") {
        Some(Datum::Integer(n)) => u64::try_from(*n).ok().filter(|n| n.is_power_of_two() && *n <= 1 << 20),
        _ => None,
    };
    let alignment = alignment.unwrap_or(DEFAULT_ALIGNMENT);
    let data = contents.header_bytes.next_multiple_of(alignment);
    let mut offsets: Vec<u64> = infos.iter().map(|info| info.offset).collect();
    offsets.sort_unstable();
    let has_same = offsets.windows(2).any(|pair| pair.first() == pair.last());
    let ends = file_bytes.and_then(|bytes| bytes.checked_sub(data)).filter(|end| offsets.last().is_none_or(|last| last < end));
    // What there is up to the next tensor; of the last one up to the end of the file.
    let room = |offset: u64| {
        let next = offsets.get(offsets.partition_point(|known| *known <= offset)).copied().or(ends)?;
        next.checked_sub(offset)
    };
    let (mut last, mut by_room, mut overlapping) = (0u64, Vec::new(), Vec::new());
    for info in infos {
        let known = catalog.storage_types().iter().find(|known| known.ggml == Some(info.kind));
        let by_type = known.and_then(|known: &StorageType| known.tensor_bytes(&info.shape));
        let room = room(info.offset).filter(|_| !has_same);
        let fits = |bytes: u64| room.is_none_or(|room| bytes.checked_next_multiple_of(alignment).is_some_and(|end| end == room));
        let bytes = match (by_type, room) {
            (Some(bytes), _) if fits(bytes) => Some(bytes),
            // The last tensor may end before the file does, and a file may have no data.
            (Some(bytes), Some(room)) if bytes <= room && offsets.last() == Some(&info.offset) => Some(bytes),
            (Some(bytes), Some(room)) if bytes > room => {
                overlapping.push(info.name.to_string());
                Some(bytes)
            }
            (Some(_) | None, Some(room)) => {
                by_room.push(info.name.to_string());
                Some(room)
            }
            (bytes, None) => bytes,
        };
        last = last.max(info.offset.saturating_add(bytes.unwrap_or(0)));
        let kind = known.map_or_else(|| format!("type {}", info.kind).into(), |known| known.name.clone());
        contents.tensors.push(Held { name: info.name, shape: Some(info.shape), kind, bytes, file: None });
    }
    contents.data_bytes = Some(last);
    if has_same && contents.tensors.len() > 1 {
        contents.remarks.push("several tensors begin at one place".to_owned());
    }
    if let [first, ..] = by_room.as_slice() {
        let message = format!(
            "the bytes of {} tensors are those up to the next one: their type isn't known, or has other blocks here (`{first}`)",
            by_room.len()
        );
        contents.remarks.push(message);
    }
    if let [first, ..] = overlapping.as_slice() {
        contents.remarks.push(format!("{} tensors reach into the next one (`{first}`)", overlapping.len()));
    }
    let end = data.saturating_add(last);
    if let Some(bytes) = file_bytes.filter(|bytes| *bytes < end && last > 0) {
        contents.remarks.push(format!("the file has {bytes} of the {end} bytes that its header speaks of"));
    }
}
