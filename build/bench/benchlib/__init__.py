# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
