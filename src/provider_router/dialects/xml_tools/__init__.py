"""Tools for models without any: written into the prompt as XML, their calls read out of the text while it streams.

tools = XMLTools.of(request)
told = tools.written(request)       # the tools in the system message, earlier calls and results as text
reader = tools.reader(who="desk")   # chunks in, chunks with tool_calls out
answer = tools.answer(response, who="desk")
"""

from provider_router.dialects.xml_tools.offer import XMLTools
from provider_router.dialects.xml_tools.parser import XMLToolParser
from provider_router.dialects.xml_tools.reader import XMLToolReader
from provider_router.dialects.xml_tools.tool import XMLTool
from provider_router.dialects.xml_tools.transcript import folded

__all__ = ["XMLTool", "XMLToolParser", "XMLToolReader", "XMLTools", "folded"]
