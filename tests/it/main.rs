//! The one integration binary; each module says in its first line what it holds.

mod recipe;
mod vectors;
