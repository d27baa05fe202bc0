//! JSON as it goes out: a person may see it, so what steers a terminal or isn't seen is spelt `\\u1234`, too.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

use crate::syntax::escape::is_unsafe;

/// Writes a value on one line.
///
/// # Errors
/// Those of `out`.
pub fn write<W: Write + ?Sized>(out: &mut W, value: &impl Serialize) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Safe(CompactFormatter))).map_err(io::Error::from)
}

/// Writes a value on lines of its own, indented.
///
/// # Errors
/// Those of `out`.
pub fn write_pretty<W: Write + ?Sized>(out: &mut W, value: &impl Serialize) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Safe(PrettyFormatter::new()))).map_err(io::Error::from)
}

/// The text of a value on one line.
///
/// # Errors
/// A value that can't be JSON.
pub fn text(value: &impl Serialize) -> io::Result<String> {
    let mut out = Vec::new();
    write(&mut out, value)?;
    String::from_utf8(out).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Whether all bytes are printable ASCII, eight of them looked at at once.
fn is_plain(bytes: &[u8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let (eights, _) = bytes.as_chunks::<8>();
    // Below a space, beyond a tilde, or beyond ASCII: then the uppermost bit of a byte is set.
    let odd = |eight: &[u8; 8]| {
        let x = u64::from_le_bytes(*eight);
        (x.wrapping_sub(0x20 * EACH) | x.wrapping_add(EACH) | x) & (0x80 * EACH)
    };
    match bytes.last_chunk() {
        // The last eight may be looked at in part again.
        Some(last) => eights.iter().fold(odd(last), |all, eight| all | odd(eight)) == 0,
        None => bytes.iter().all(|byte| matches!(byte, b' '..=b'~')),
    }
}

/// A formatter whose strings have nothing unsafe in them.
struct Safe<F>(F);

impl<F: Formatter> Formatter for Safe<F> {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        // Nearly all of what is written is.
        if is_plain(fragment.as_bytes()) {
            return out.write_all(fragment.as_bytes());
        }
        let mut from = 0;
        for (at, c) in fragment.char_indices().filter(|(_, c)| is_unsafe(*c)) {
            out.write_all(fragment.get(from..at).unwrap_or_default().as_bytes())?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            from = at + c.len_utf8();
        }
        out.write_all(fragment.get(from..).unwrap_or_default().as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_array(out)
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array(out)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(out, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array_value(out)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object(out)
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object(out)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(out, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object_value(out)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object_value(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_printable_ascii_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for (length, at) in (0..20).flat_map(|length| (0..=length).map(move |at| (length, at))) {
                let mut bytes = vec![b'~'; length];
                bytes.iter_mut().step_by(2).for_each(|byte| *byte = b' ');
                bytes.insert(at, byte);
                assert_eq!(is_plain(&bytes), (b' '..=b'~').contains(&byte), "{bytes:?}");
            }
        }
        assert!(is_plain(b""));
    }

    #[test]
    fn what_is_not_seen_is_spelt_and_means_the_same() {
        let value = serde_json::json!({ "a\u{9b}": ["\u{7f}\u{202e}\u{e0041}\"\\\n", "größe"] });
        let one_line = text(&value).unwrap();
        assert_eq!(one_line, r#"{"a\u009b":["\u007f\u202e\udb40\udc41\"\\\n","größe"]}"#);
        let mut pretty = Vec::new();
        write_pretty(&mut pretty, &value).unwrap();
        let read = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
        assert_eq!((read(one_line.as_bytes()), read(&pretty)), (value.clone(), value));
    }
}
