package wire

import (
	"strconv"

	"github.com/sse-chat/caddy-sse-chat/store"
)

// AppendReceipt appends the answer to a publisher: the stored message, or only its
// id if it was deleted since.
func AppendReceipt(dst []byte, receipt store.Receipt) []byte {
	if receipt.Message != nil {
		return append(dst, receipt.Message.JSON()...)
	}
	dst = append(dst, `{"id":"`...)
	dst = receipt.ID.Append(dst)
	return append(dst, `","deleted":true}`...)
}

// AppendHistory appends a page of history as JSON.
func AppendHistory(dst []byte, page store.Page) []byte {
	dst = append(dst, `{"messages":[`...)
	for i, m := range page.Messages {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, m.JSON()...)
	}
	dst = append(dst, `],"more":`...)
	dst = strconv.AppendBool(dst, page.More)
	return append(dst, '}')
}
