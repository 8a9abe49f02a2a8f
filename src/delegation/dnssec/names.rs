//! Names in canonical form (RFC 4034 section 6.1): absolute and in lower case.
//! `Name` orders such names canonically.

use hickory_proto::rr::Name;

/// The name in canonical form.
pub fn canonical(name: &Name) -> Name {
    let mut name = name.to_lowercase();
    name.set_fqdn(true);
    name
}

/// The number of labels, `*` included, the root excluded.
pub fn label_count(name: &Name) -> usize {
    name.iter().count()
}

/// Whether `name` is below `ancestor`, and not the same.
pub fn is_below(name: &Name, ancestor: &Name) -> bool {
    ancestor.zone_of(name) && label_count(name) > label_count(ancestor)
}

/// The longest name that is both names or above them.
pub fn common_ancestor(a: &Name, b: &Name) -> Name {
    let common = a.iter().rev().zip(b.iter().rev());
    let common = common.take_while(|(a, b)| a.eq_ignore_ascii_case(b));
    a.trim_to(common.count())
}

/// `*.name`, or `None` if that is too long for a name.
pub fn wildcard(name: &Name) -> Option<Name> {
    name.prepend_label("*").ok()
}

/// `name` with its ending `from` replaced by `to` (RFC 6672 section 2.2), or
/// `None` if that is too long.
pub fn substitute(name: &Name, from: &Name, to: &Name) -> Option<Name> {
    let kept = label_count(name).checked_sub(label_count(from))?;
    let kept = Name::from_labels(name.iter().take(kept)).ok()?;
    kept.append_domain(to).ok()
}
