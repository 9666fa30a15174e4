//! The behaviour that every provider has to show, as functions over `&dyn Provider`.
