"""Benchmark suites, comparisons and reference results."""
