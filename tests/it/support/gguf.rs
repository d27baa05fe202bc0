//! Headers of GGUF files, written as gguf.cpp does.

/// A value of GGUF's metadata.
pub enum Meta {
    Text(String),
    Count(u32),
    Float(f32),
    Flag(bool),
    /// Of one kind.
    List(Vec<Meta>),
    /// So many texts, of one letter each.
    Texts(u64),
}

impl Meta {
    /// The number that GGUF has for its type.
    fn kind(&self) -> u32 {
        match self {
            Meta::Count(_) => 4,
            Meta::Float(_) => 6,
            Meta::Flag(_) => 7,
            Meta::Text(_) => 8,
            Meta::List(_) | Meta::Texts(_) => 9,
        }
    }
}

/// A tensor: its name, its dimensions in ggml's order, the number of its type, its bytes.
pub type Tensor = (String, Vec<u64>, u32, u64);

/// A header that is being written.
pub struct Gguf {
    bytes: Vec<u8>,
    is_big_endian: bool,
}

impl Gguf {
    fn number<const N: usize>(&mut self, mut bytes: [u8; N]) {
        if self.is_big_endian {
            bytes.reverse();
        }
        self.bytes.extend(bytes);
    }

    fn text(&mut self, text: &str) {
        self.number((text.len() as u64).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn value(&mut self, value: &Meta) {
        match value {
            Meta::Text(text) => self.text(text),
            Meta::Count(count) => self.number(count.to_le_bytes()),
            Meta::Float(x) => self.number(x.to_le_bytes()),
            Meta::Flag(flag) => self.number([u8::from(*flag)]),
            Meta::List(items) => {
                self.number(items.first().map_or(4, Meta::kind).to_le_bytes());
                self.number((items.len() as u64).to_le_bytes());
                items.iter().for_each(|item| self.value(item));
            }
            Meta::Texts(len) => {
                self.number(8u32.to_le_bytes());
                self.number(len.to_le_bytes());
                (0..*len).for_each(|_| self.text("t"));
            }
        }
    }

    /// The header of a file with these keys and tensors.
    pub fn written(is_big_endian: bool, metadata: &[(&str, Meta)], tensors: &[Tensor]) -> Vec<u8> {
        let mut file = Gguf { bytes: b"GGUF".to_vec(), is_big_endian };
        file.number(3u32.to_le_bytes());
        file.number((tensors.len() as u64).to_le_bytes());
        file.number((metadata.len() as u64).to_le_bytes());
        for (key, value) in metadata {
            file.text(key);
            file.number(value.kind().to_le_bytes());
            file.value(value);
        }
        let mut offset = 0u64;
        for (name, dims, kind, bytes) in tensors {
            file.text(name);
            file.number(u32::try_from(dims.len()).unwrap().to_le_bytes());
            dims.iter().for_each(|dim| file.number(dim.to_le_bytes()));
            file.number(kind.to_le_bytes());
            file.number(offset.to_le_bytes());
            offset += bytes.next_multiple_of(32);
        }
        file.bytes
    }
}
