//! Rows of a sweep as Parquet: a column a variable and a quantity, in groups of rows.
//!
//! A count is a 64-bit integer where all of them fit, else DECIMAL(38,0): which of both is said before the first row is written. Cells that
//! aren't known are null.

use std::io::{self, Write};
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use crate::analysis::sweep::Piece;
use crate::syntax::expr::{Value, json_of};
use crate::syntax::json::write;

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellKind {
    /// Texts; other values as JSON.
    Text,
    /// Integers of 64 bits with a sign.
    Integer,
    /// Those without.
    Unsigned,
    /// Counts of up to 38 digits.
    Decimal,
}

impl CellKind {
    /// What holds counts up to this one; `None`: it isn't known, so what holds them all.
    #[must_use]
    pub fn of_counts(largest: Option<u128>) -> Self {
        match largest.map(i64::try_from) {
            Some(Ok(_)) => CellKind::Integer,
            _ => CellKind::Decimal,
        }
    }

    fn field(self, name: &str) -> Result<Type, ParquetError> {
        let unsigned = LogicalType::integer(64, false);
        let builder = match self {
            CellKind::Text => {
                Type::primitive_type_builder(name, Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::String))
            }
            CellKind::Integer => Type::primitive_type_builder(name, Physical::INT64),
            CellKind::Unsigned => Type::primitive_type_builder(name, Physical::INT64).with_logical_type(Some(unsigned)),
            CellKind::Decimal => Type::primitive_type_builder(name, Physical::FIXED_LEN_BYTE_ARRAY)
                .with_length(WIDE)
                .with_logical_type(Some(LogicalType::decimal(0, DIGITS)))
                .with_precision(DIGITS)
                .with_scale(0),
        };
        builder.with_repetition(Repetition::OPTIONAL).build()
    }
}

/// Bytes of a decimal.
const WIDE: i32 = 16;
/// What all readers take.
const DIGITS: i32 = 38;
const MOST_DECIMAL: u128 = 10u128.pow(38) - 1;
/// Rows of a group: some ten megabytes of cells.
const GROUP: usize = 1 << 16;

/// A column that is being gathered.
#[derive(Debug)]
struct Column {
    name: String,
    kind: CellKind,
    texts: Vec<ByteArray>,
    numbers: Vec<u128>,
    /// Whether a cell is there, as Parquet says it.
    levels: Vec<i16>,
}

impl Column {
    fn null(&mut self) {
        self.levels.push(0);
    }

    fn number(&mut self, number: u128) -> io::Result<()> {
        let most = match self.kind {
            CellKind::Integer => u128::from(i64::MAX.unsigned_abs()),
            CellKind::Unsigned => u128::from(u64::MAX),
            _ => MOST_DECIMAL,
        };
        if number > most {
            let message = format!("`{}` has {number}, which its Parquet column can't hold; `--format csv` can", self.name);
            return Err(io::Error::other(message));
        }
        self.numbers.push(number);
        self.levels.push(1);
        Ok(())
    }
}

/// A file that is being written.
pub struct ParquetRows {
    writer: SerializedFileWriter<Pipe>,
    pipe: Pipe,
    columns: Vec<Column>,
}

/// What the writer has made and nobody has taken yet: it wants to own what it writes to.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<Vec<u8>>>);

impl Pipe {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn empty_into(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&take(&mut *self.bytes()))?;
        out.flush()
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ParquetRows {
    /// A file of these columns.
    ///
    /// # Errors
    /// Two columns of a name.
    pub fn new(columns: Vec<(String, CellKind)>) -> io::Result<Self> {
        let fields: Result<Vec<Arc<Type>>, ParquetError> =
            columns.iter().map(|(name, kind)| kind.field(name).map(Arc::new)).collect();
        let schema = Type::group_type_builder("sweep").with_fields(fields?).build()?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(format!("layerspec {}", env!("CARGO_PKG_VERSION")))
            .build();
        let pipe = Pipe::default();
        let writer = SerializedFileWriter::new(pipe.clone(), Arc::new(schema), Arc::new(properties))?;
        let column =
            |(name, kind)| Column { name, kind, texts: Vec::new(), numbers: Vec::new(), levels: Vec::with_capacity(GROUP) };
        Ok(ParquetRows { writer, pipe, columns: columns.into_iter().map(column).collect() })
    }

    /// Adds the rows of a piece; full groups of rows go to `out`.
    ///
    /// # Errors
    /// Those of `out`; a figure that its column can't hold.
    pub fn add(&mut self, piece: &Piece<'_>, out: &mut dyn Write) -> io::Result<()> {
        let mut columns = self.columns.iter_mut();
        for (value, column) in piece.outer.iter().zip(columns.by_ref()) {
            constant(column, value, piece.points)?;
        }
        for (values, column) in piece.columns.iter().zip(columns.by_ref()) {
            match values {
                Some(values) => values.iter().try_for_each(|value| column.number(u128::from(*value)))?,
                None => (0..piece.points).for_each(|_| column.null()),
            }
        }
        for (figures, column) in piece.block.columns.iter().zip(columns) {
            for (value, known) in figures.values.iter().zip(&figures.known) {
                if *known { column.number(*value)? } else { column.null() }
            }
        }
        if self.columns.first().is_some_and(|column| column.levels.len() >= GROUP) {
            self.write_group()?;
            self.pipe.empty_into(out)?;
        }
        Ok(())
    }

    /// Writes what is left, and the end.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.columns.first().is_some_and(|column| !column.levels.is_empty()) {
            self.write_group()?;
        }
        self.writer.close()?;
        self.pipe.empty_into(out)
    }

    fn write_group(&mut self) -> io::Result<()> {
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            write_column(column, &mut group)?;
            column.texts.clear();
            column.numbers.clear();
            column.levels.clear();
        }
        group.close()?;
        Ok(())
    }
}

/// The same value for so many rows.
fn constant(column: &mut Column, value: &Value, points: usize) -> io::Result<()> {
    match (column.kind, value) {
        (CellKind::Text, Value::Null) => (0..points).for_each(|_| column.null()),
        (CellKind::Text, value) => {
            let text = match value {
                Value::Text(text) => text.to_string(),
                other => write::text(&json_of(other))?,
            };
            column.texts.extend(std::iter::repeat_n(ByteArray::from(text.into_bytes()), points));
            column.levels.extend(std::iter::repeat_n(1, points));
        }
        (_, value) => match value.as_number().and_then(|n| n.to_count()) {
            Some(number) => (0..points).try_for_each(|_| column.number(number))?,
            None => (0..points).for_each(|_| column.null()),
        },
    }
    Ok(())
}

fn write_column(column: &Column, group: &mut SerializedRowGroupWriter<'_, Pipe>) -> io::Result<()> {
    let Some(mut writer) = group.next_column()? else { return Ok(()) };
    let levels = Some(column.levels.as_slice());
    match column.kind {
        CellKind::Text => writer.typed::<ByteArrayType>().write_batch(&column.texts, levels, None)?,
        CellKind::Integer | CellKind::Unsigned => {
            // Parquet keeps an unsigned integer as the signed one of the same bits.
            let signed = |n: &u128| u64::try_from(*n).map(u64::cast_signed).unwrap_or(i64::MAX);
            let numbers: Vec<i64> = column.numbers.iter().map(signed).collect();
            writer.typed::<Int64Type>().write_batch(&numbers, levels, None)?
        }
        CellKind::Decimal => {
            let width = size_of::<u128>();
            let all = ByteArray::from(column.numbers.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<u8>>());
            let numbers: Vec<FixedLenByteArray> =
                (0..column.numbers.len()).map(|at| all.slice(at * width, width).into()).collect();
            writer.typed::<FixedLenByteArrayType>().write_batch(&numbers, levels, None)?
        }
    };
    writer.close()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    use super::*;
    use crate::analysis::sweep::{Block, Figures};

    fn written(kind: CellKind, values: &[Option<u128>]) -> io::Result<Vec<u8>> {
        let columns = ["word", "batch_size", "flops"].map(str::to_owned);
        let kinds = [CellKind::Text, CellKind::Unsigned, kind];
        let mut rows = ParquetRows::new(columns.into_iter().zip(kinds).collect())?;
        let mut out = Vec::new();
        for part in values.chunks(1000) {
            let figures = Figures {
                values: part.iter().map(|value| value.unwrap_or(0)).collect(),
                known: part.iter().map(Option::is_some).collect(),
            };
            let block = Block { columns: vec![figures], problem: None };
            let (outer, columns) = ([Value::text("a, \"b\" é")], [Some(vec![u64::MAX; part.len()])]);
            rows.add(&Piece { outer: &outer, columns: &columns, block: &block, points: part.len() }, &mut out)?;
        }
        rows.finish(&mut out)?;
        Ok(out)
    }

    /// A file's rows, each cell as it is shown.
    fn read(bytes: Vec<u8>) -> Vec<Vec<Field>> {
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let rows = reader.get_row_iter(None).unwrap();
        rows.map(|row| row.unwrap().into_columns().into_iter().map(|(_, field)| field).collect()).collect()
    }

    #[test]
    fn every_digit_is_read_back() {
        let values = [Some(0), Some((1 << 53) + 1), None, Some(i64::MAX.unsigned_abs().into())];
        let rows = read(written(CellKind::Integer, &values).unwrap());
        let found: Vec<&Field> = rows.iter().map(|row| &row[2]).collect();
        assert_eq!(found, [&Field::Long(0), &Field::Long((1 << 53) + 1), &Field::Null, &Field::Long(i64::MAX)]);
        assert!(rows.iter().all(|row| row[0] == Field::Str("a, \"b\" é".to_owned()) && row[1] == Field::ULong(u64::MAX)));
        let values = [Some(MOST_DECIMAL), Some(1 << 64), None, Some(7)];
        let found: Vec<String> =
            read(written(CellKind::Decimal, &values).unwrap()).iter().map(|row| row[2].to_string()).collect();
        // Without places there is a point all the same.
        assert_eq!(found, [&format!("{MOST_DECIMAL}."), "18446744073709551616.", "null", "7."]);
    }

    #[test]
    fn groups_of_rows_follow_each_other() {
        let values: Vec<Option<u128>> = (0..150_000).map(|n| (n % 7 != 0).then_some(n)).collect();
        let bytes = written(CellKind::Integer, &values).unwrap();
        let found = read(bytes);
        assert_eq!(found.len(), values.len());
        for (row, value) in found.iter().zip(values) {
            let expected = value.map_or(Field::Null, |value| Field::Long(i64::try_from(value).unwrap()));
            assert_eq!(row[2], expected);
        }
        assert_eq!(read(written(CellKind::Integer, &[]).unwrap()), [] as [Vec<Field>; 0]);
    }

    #[test]
    fn what_a_column_cant_hold_is_refused() {
        for (kind, value) in [(CellKind::Integer, 1 << 63), (CellKind::Decimal, MOST_DECIMAL + 1), (CellKind::Decimal, u128::MAX)]
        {
            let error = written(kind, &[Some(1), Some(value)]).unwrap_err().to_string();
            assert!(error.contains(&value.to_string()) && error.contains("`flops`"), "{error}");
        }
        assert_eq!(CellKind::of_counts(Some(1 << 62)), CellKind::Integer);
        assert_eq!((CellKind::of_counts(Some(1 << 63)), CellKind::of_counts(None)), (CellKind::Decimal, CellKind::Decimal));
    }
}
