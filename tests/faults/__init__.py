"""Campaigns of faults: ``make faults`` runs the long ones, pytest a short form of each.

python -m tests.faults.NAME [N]
"""
