"""The client side as users meet it: a channel of our own, and interceptors for a stock one.

`channel` and `endpoints` know addresses, `stubs` makes calls, `calls` and `driven` are those calls, `transport` makes
grpc's own, `interceptors` puts the same pipeline on a stock `grpc.aio` channel. What happens to a call on its way is
in `kit.layers`.
"""

from kit.client.channel import Channel, channel
from kit.client.interceptors import client_interceptors

__all__ = ["Channel", "channel", "client_interceptors"]
