# SPDX-License-Identifier: Apache-2.0
"""The part of VDSM's Python package that hooks import from."""
