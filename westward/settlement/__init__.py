"""Settlement papers: charges, statements, invoices, exports, reconciliation. Pure; see 0035."""
