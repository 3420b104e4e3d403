"""The papers' losses as pure functions of tensors; a recipe says which, with what weight."""
