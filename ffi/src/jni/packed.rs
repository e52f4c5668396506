//! Values as bytes, little endian: numbers of 32 and 64 bits, texts and lists with their length in front.
//!
//! Both ends are this version's, so there is nothing to negotiate; but bytes come over a boundary, so nothing is read
//! beyond their end.

use etalase::photo::Measures;
use etalase::{Error, ErrorKind, Result, Verdict};

use crate::c::EtalaseVerdict;

/// Reads values one after the other.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(cut_short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn u32(&mut self) -> Result<u32> {
        let bytes = self.take(4)?.try_into().map_err(|_| cut_short())?;
        Ok(u32::from_le_bytes(bytes))
    }

    pub fn f32(&mut self) -> Result<f32> {
        Ok(f32::from_bits(self.u32()?))
    }

    pub fn f32s(&mut self) -> Result<Vec<f32>> {
        let count = self.u32()? as usize;
        let bytes = self.take(count.checked_mul(4).ok_or_else(cut_short)?)?;
        let (values, _) = bytes.as_chunks::<4>();
        Ok(values
            .iter()
            .map(|value| f32::from_le_bytes(*value))
            .collect())
    }

    pub fn text(&mut self) -> Result<&'a str> {
        let length = self.u32()? as usize;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| crate::invalid("a text is not UTF-8"))
    }

    pub fn texts(&mut self) -> Result<Vec<&'a str>> {
        (0..self.u32()?).map(|_| self.text()).collect()
    }
}

fn cut_short() -> Error {
    Error::new(ErrorKind::Internal, "a request is cut short")
}

/// Writes values one after the other, behind the place of a status.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub fn new() -> Writer {
        Writer(vec![0])
    }

    /// All of it, the status first.
    pub fn with_status(mut self, status: u8) -> Vec<u8> {
        if let Some(first) = self.0.first_mut() {
            *first = status;
        }
        self.0
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.raw(&value.to_le_bytes());
    }

    pub fn f32(&mut self, value: f32) {
        self.u32(value.to_bits());
    }

    pub fn f64(&mut self, value: f64) {
        self.raw(&value.to_bits().to_le_bytes());
    }

    pub fn text(&mut self, text: &str) {
        self.u32(text.len() as u32);
        self.raw(text.as_bytes());
    }

    pub fn texts(&mut self, texts: &[String]) {
        self.u32(texts.len() as u32);
        texts.iter().for_each(|text| self.text(text));
    }

    /// A class, or `u32::MAX` where there is none: -1 of Java's.
    pub fn class(&mut self, class: Option<usize>) {
        self.u32(class.map_or(u32::MAX, |class| class as u32));
    }

    /// Kind, reason (as etalase.h has them), the suggested class.
    pub fn verdict(&mut self, verdict: Option<Verdict>) {
        let verdict = EtalaseVerdict::of(verdict);
        self.u32(verdict.kind);
        self.u32(verdict.reason);
        self.u32(verdict.suggested);
    }

    pub fn measures(&mut self, measures: &Measures) {
        self.u32(measures.width_px);
        self.u32(measures.height_px);
        self.f32(measures.brightness);
        self.f32(measures.dark);
        self.f32(measures.bright);
        self.f32(measures.sharpness);
        self.f32(measures.uniform_border);
    }

    pub fn ranked(&mut self, ranked: &[(usize, f32)]) {
        self.u32(ranked.len() as u32);
        for (class, score) in ranked {
            self.u32(*class as u32);
            self.f32(*score);
        }
    }

    pub fn scores(&mut self, scores: &[f32]) {
        self.u32(scores.len() as u32);
        scores.iter().for_each(|score| self.f32(*score));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut written = Writer::new();
        written.f32(0.5);
        written.texts(&["größe".to_owned(), String::new()]);
        written.scores(&[0.25, 0.75]);
        let bytes = written.with_status(7);
        assert_eq!(bytes.first(), Some(&7));
        let mut read = Reader::new(&bytes[1..]);
        assert_eq!(read.f32().expect("a number"), 0.5);
        assert_eq!(read.texts().expect("texts"), ["größe", ""]);
        assert_eq!(read.f32s().expect("scores"), [0.25, 0.75]);
        assert!(read.u32().is_err());
    }

    #[test]
    fn lengths_beyond_the_end_are_refused() {
        let mut huge = Reader::new(&[0xff; 8]);
        assert!(huge.f32s().is_err());
        let mut huge = Reader::new(&[0xff; 8]);
        assert!(huge.text().is_err());
        let mut huge = Reader::new(&[0xff; 4]);
        assert!(huge.texts().is_err());
    }
}
