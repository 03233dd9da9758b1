"""Helpers of submit: the claim that precedes a create, and the adoption of a batch whose create got no response."""
