"""Alembic migrations, shipped inside the package. New ones are numbered 0002, 0003, …"""
