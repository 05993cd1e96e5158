//! GNU properties: what objects say of their code as a whole, such as that every indirect branch ends
//! at a landing pad.
//!
//! Source: Linux Extensions to gABI, "Program Property".

/// How the values of a property of several objects, 32 bits each, become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropertyRule {
    /// What all have: bits that an object lacks, or an object without the property, clear them.
    And,
    /// What any has.
    Or,
    /// What any has, if all objects have the property.
    OrAnd,
}

impl PropertyRule {
    /// The value for two objects, of which the second may lack the property; `None` when both together do.
    #[must_use]
    pub const fn combine(self, first: Option<u32>, second: Option<u32>) -> Option<u32> {
        match (self, first, second) {
            (Self::And, Some(first), Some(second)) => Some(first & second),
            (Self::Or | Self::OrAnd, Some(first), Some(second)) => Some(first | second),
            (Self::Or, Some(value), None) | (Self::Or, None, Some(value)) => Some(value),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PropertyRule::{And, Or, OrAnd};

    #[test]
    fn an_object_without_a_property_counts() {
        assert_eq!(And.combine(Some(0b11), Some(0b10)), Some(0b10));
        assert_eq!(And.combine(Some(0b11), None), None);
        assert_eq!(Or.combine(None, Some(0b10)), Some(0b10));
        assert_eq!(Or.combine(Some(0b01), Some(0b10)), Some(0b11));
        assert_eq!(OrAnd.combine(Some(0b01), Some(0b10)), Some(0b11));
        assert_eq!(OrAnd.combine(None, Some(0b10)), None);
    }
}
