//! The one integration binary; each module says in its first line what it holds.

mod explode;
mod recipe;
mod vectors;
