//! Arithmetic on 256-bit work that the `bitcoin` crate lacks: sums that saturate
//! instead of wrapping, and wider products.

use bitcoin::Work;
use bitcoin::block::Header;

/// No work at all.
pub(super) fn zero() -> Work {
    Work::from_le_bytes([0; 32])
}

/// The sum, or the greatest work there is if the sum is beyond it.
pub(super) fn saturating_sum(a: Work, b: Work) -> Work {
    let mut bytes = [0; 32];
    let mut carry = false;
    let places = bytes.as_chunks_mut().0.iter_mut();
    for ((place, a), b) in places.zip(limbs(a)).zip(limbs(b)) {
        let (sum, first) = a.overflowing_add(b);
        let (sum, second) = sum.overflowing_add(u64::from(carry));
        carry = first || second;
        *place = sum.to_le_bytes();
    }
    Work::from_le_bytes(if carry { [0xff; 32] } else { bytes })
}

/// The work of all these headers, by the targets that they claim.
pub(super) fn total<'a>(headers: impl IntoIterator<Item = &'a Header>) -> Work {
    let mut sum = zero();
    // Thousands of headers in a row have the same target, and the division
    // that makes work of it is what takes time.
    let mut last = None;
    for header in headers {
        let work = match last {
            Some((bits, work)) if bits == header.bits => work,
            _ => header.work(),
        };
        last = Some((header.bits, work));
        sum = saturating_sum(sum, work);
    }
    sum
}

/// The exact product, most significant limb first, so that products compare
/// as numbers do.
pub(super) fn product(work: Work, factor: u64) -> [u64; 5] {
    let mut product = [0; 5];
    let mut carry = 0;
    let factors = limbs(work).into_iter().chain([0]);
    for (place, limb) in product.iter_mut().rev().zip(factors) {
        let sum = u128::from(limb) * u128::from(factor) + u128::from(carry);
        *place = sum as u64;
        carry = (sum >> 64) as u64;
    }
    product
}

/// The number of bits that a work takes.
pub(super) fn bits(work: Work) -> u32 {
    let (high, low) = halves(work);
    match high {
        0 => u128::BITS - low.leading_zeros(),
        _ => 2 * u128::BITS - high.leading_zeros(),
    }
}

/// A work divided by 2 to the power of `shift`, which has to fit.
pub(super) fn scaled(work: Work, shift: u32) -> u128 {
    let (high, low) = halves(work);
    let carried = u128::BITS.checked_sub(shift);
    match carried {
        Some(u128::BITS) => low,
        Some(left) => low.checked_shr(shift).unwrap_or(0) | high.checked_shl(left).unwrap_or(0),
        None => high.checked_shr(shift - u128::BITS).unwrap_or(0),
    }
}

/// The upper and the lower half.
fn halves(work: Work) -> (u128, u128) {
    let [a, b, c, d] = limbs(work).map(u128::from);
    (d << 64 | c, b << 64 | a)
}

/// Limbs of 64 bits, the least significant first.
fn limbs(work: Work) -> [u64; 4] {
    let bytes = work.to_le_bytes();
    let mut limbs = [0; 4];
    for (limb, bytes) in limbs.iter_mut().zip(bytes.as_chunks().0) {
        *limb = u64::from_le_bytes(*bytes);
    }
    limbs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(hex: &str) -> Work {
        Work::from_unprefixed_hex(hex).unwrap()
    }

    #[test]
    fn sums_carry_over_limbs_and_saturate() {
        let limb = work("ffffffffffffffffffffffffffffffff");
        let one = work("1");
        assert_eq!(
            saturating_sum(limb, one),
            work("100000000000000000000000000000000")
        );
        let all = Work::from_le_bytes([0xff; 32]);
        assert_eq!(saturating_sum(all, one), all);
        assert_eq!(saturating_sum(one, all), all);
        assert_eq!(saturating_sum(all, all), all);
        assert_eq!(saturating_sum(zero(), all), all);
        assert_eq!(saturating_sum(one, one), work("2"));
    }

    #[test]
    fn works_are_scaled_over_both_halves() {
        let number = work("123456789abcdef0fedcba98765432100011223344556677");
        assert_eq!(bits(number), 189);
        assert_eq!(bits(work("1")), 1);
        assert_eq!(bits(zero()), 0);
        assert_eq!(bits(Work::from_le_bytes([0xff; 32])), 256);
        assert_eq!(scaled(work("123"), 0), 0x123);
        assert_eq!(scaled(number, 96), 0x1234_5678_9abc_def0_fedc_ba98);
        assert_eq!(
            scaled(number, 64),
            0x1234_5678_9abc_def0_fedc_ba98_7654_3210
        );
        assert_eq!(scaled(number, 128), 0x1234_5678_9abc_def0);
        assert_eq!(scaled(number, 132), 0x0123_4567_89ab_cdef);
        assert_eq!(scaled(number, 255), 0);
    }

    #[test]
    fn products_are_exact_beyond_256_bits() {
        let all = Work::from_le_bytes([0xff; 32]);
        // (2^256 - 1) · (2^64 - 1) = 2^320 - 2^256 - 2^64 + 1.
        assert_eq!(
            product(all, u64::MAX),
            [u64::MAX - 1, u64::MAX, u64::MAX, u64::MAX, 1]
        );
        assert_eq!(product(work("10"), 7), [0, 0, 0, 0, 0x70]);
        assert_eq!(product(work("ffffffffffffffff"), 2)[3..], [1, u64::MAX - 1]);
        assert!(product(work("10000000000000000"), 1) > product(work("ffffffffffffffff"), 1));
    }
}
