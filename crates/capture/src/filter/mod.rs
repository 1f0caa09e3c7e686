//! Display filters in Wireshark's syntax: `tcp.port == 25 and not tcp.analysis.retransmission`.
//!
//! A packet may have a field several times (`tcp.port`, `tls.handshake.ciphersuite`). The field equals a value if one
//! of its values does, and differs if all do, as in Wireshark 4.

mod field;
mod parse;

use std::net::IpAddr;

pub use field::View;
use field::{Field, Value};
pub use parse::FilterError;

/// A parsed filter.
#[derive(Clone, Debug)]
pub struct Filter(Expression);

#[derive(Clone, Debug)]
enum Expression {
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
    Exists(Field),
    Compare(Field, Operator, Literal),
    Contains(Field, String),
    In(Field, Vec<Range>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, PartialEq, Debug)]
enum Literal {
    Number(u64),
    /// Address and bits of the network.
    Network(IpAddr, u8),
    Text(String),
    /// Nanoseconds.
    Time(i64),
}

/// From and to, both included. They are equal for a single value.
#[derive(Clone, Debug)]
struct Range {
    from: Literal,
    to: Literal,
}

impl Filter {
    /// Parses a filter. The error says what is wrong and where.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        parse::parse(text).map(Self)
    }

    pub fn passes(&self, view: &View<'_>) -> bool {
        self.0.holds(view)
    }

    /// True if the filter needs the dialogue, not only headers.
    pub fn needs_fields(&self) -> bool {
        self.0.needs_fields()
    }
}

impl Expression {
    fn holds(&self, view: &View<'_>) -> bool {
        match self {
            Self::And(all) => all.iter().all(|one| one.holds(view)),
            Self::Or(all) => all.iter().any(|one| one.holds(view)),
            Self::Not(one) => !one.holds(view),
            Self::Exists(field) => field.any(view, |_| true),
            Self::Compare(field, Operator::NotEqual, literal) => {
                let mut exists = false;
                let is_equal = field.any(view, |value| {
                    exists = true;
                    literal.compare(value, Operator::Equal)
                });
                exists && !is_equal
            }
            Self::Compare(field, operator, literal) => field.any(view, |value| literal.compare(value, *operator)),
            Self::Contains(field, text) => {
                field.any(view, |value| matches!(value, Value::Text(value) if value.contains(text.as_str())))
            }
            Self::In(field, ranges) => field.any(view, |value| {
                ranges.iter().any(|range| match &range.from {
                    network @ Literal::Network(..) => network.compare(value, Operator::Equal),
                    _ => {
                        range.from.compare(value, Operator::GreaterOrEqual)
                            && range.to.compare(value, Operator::LessOrEqual)
                    }
                })
            }),
        }
    }

    fn needs_fields(&self) -> bool {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().any(Self::needs_fields),
            Self::Not(one) => one.needs_fields(),
            Self::Exists(field) | Self::Compare(field, ..) | Self::Contains(field, _) | Self::In(field, _) => {
                field.is_of_content()
            }
        }
    }
}

impl Literal {
    /// Compares `value` with this.
    fn compare(&self, value: Value<'_>, operator: Operator) -> bool {
        let order = match (self, value) {
            (Self::Number(wanted), Value::Number(value)) => value.cmp(wanted),
            (Self::Time(wanted), Value::Time(value)) => value.cmp(wanted),
            (Self::Text(wanted), Value::Text(value)) => value.cmp(wanted.as_str()),
            (Self::Network(network, bits), Value::Address(address)) if operator == Operator::Equal => {
                return is_within(address, *network, *bits);
            }
            (Self::Network(network, _), Value::Address(address)) => address.cmp(network),
            _ => return false,
        };
        match operator {
            Operator::Equal => order.is_eq(),
            Operator::NotEqual => order.is_ne(),
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le(),
            Operator::Greater => order.is_gt(),
            Operator::GreaterOrEqual => order.is_ge(),
        }
    }
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let (a, b, width) = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
        _ => return false,
    };
    let host_bits = width - u32::from(bits).min(width);
    // A shift by the whole width would be undefined.
    host_bits >= 128 || (a >> host_bits) == (b >> host_bits)
}
