"""Asks a base address for message traces with Microsoft's own client for Graph; prints what it understood as JSON.

usage: graph_client.py BASE_ADDRESS TOKEN FILTER TOP
"""

import asyncio
import json
import sys

from azure.core.credentials import AccessToken
from kiota_abstractions.authentication import AccessTokenProvider, AllowedHostsValidator, BaseBearerTokenAuthenticationProvider
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.admin.exchange.tracing.message_traces.message_traces_request_builder import (
    MessageTracesRequestBuilder,
)

base, token, wanted, top = sys.argv[1:]


class Fixed(AccessTokenProvider):
    async def get_authorization_token(self, uri, additional_authentication_context={}):
        return token

    def get_allowed_hosts_validator(self):
        return AllowedHostsValidator([])


async def main():
    adapter = GraphRequestAdapter(BaseBearerTokenAuthenticationProvider(Fixed()))
    adapter.base_url = base
    client = GraphServiceClient(request_adapter=adapter)
    traces = client.admin.exchange.tracing.message_traces
    parameters = MessageTracesRequestBuilder.MessageTracesRequestBuilderGetQueryParameters(filter=wanted, top=int(top))
    page = await traces.get(RequestConfiguration(query_parameters=parameters))
    pages, rows = 0, []
    while page is not None:
        pages += 1
        rows += page.value
        page = await traces.with_url(page.odata_next_link).get() if page.odata_next_link else None
    found = []
    for row in rows:
        item = traces.by_exchange_message_trace_id(row.id)
        details = await item.get_details_by_recipient_with_recipient_address(row.recipient_address).get()
        found.append(
            {
                "id": row.id,
                "sender": row.sender_address,
                "recipient": row.recipient_address,
                "subject": row.subject,
                "status": row.status.value,
                "received": row.received_date_time.isoformat(),
                "size": row.size,
                "from": row.from_i_p,
                "to": row.to_i_p,
                "message_id": row.message_id,
                "events": [[detail.event, detail.description, detail.data] for detail in details.value],
            }
        )
    print(json.dumps({"pages": pages, "rows": found}))


asyncio.run(main())
