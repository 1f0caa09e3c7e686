//! A cursor over foreign bytes. Whatever is missing is `None`, never a panic.

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.bytes(1).map(|taken| taken[0])
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.bytes(2).map(|taken| u16::from_be_bytes([taken[0], taken[1]]))
    }

    /// RFC 8446 section 3.4: a vector whose length stands before it in one byte.
    pub(super) fn vector8(&mut self) -> Option<Reader<'a>> {
        let length = self.u8()?;
        self.bytes(length.into()).map(Reader)
    }

    /// The same with two bytes of length.
    pub(super) fn vector16(&mut self) -> Option<Reader<'a>> {
        let length = self.u16()?;
        self.bytes(length.into()).map(Reader)
    }

    /// The same with three.
    pub(super) fn vector24(&mut self) -> Option<Reader<'a>> {
        let high = self.u8()?;
        let length = usize::from(high) << 16 | usize::from(self.u16()?);
        self.bytes(length).map(Reader)
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// The rest as numbers of two bytes; an odd byte at the end is left out.
    pub(super) fn numbers(self) -> impl Iterator<Item = u16> + 'a {
        self.0.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }
}
