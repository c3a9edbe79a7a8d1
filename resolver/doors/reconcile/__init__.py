"""``/reconcile``: the Reconciliation Service API, by which OpenRefine and others link a column of
names to organisations.

`core` answers queries, whatever version of the interface they came by; `properties` is what can be
asked of an organisation; `routes` speaks version 0.2.
"""
