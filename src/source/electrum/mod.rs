//! Values from public Electrum servers, verified by proof of work.

mod evidence;
mod name_script;
mod reply;
mod servers;
mod verdict;

#[cfg(test)]
mod recorded;
