namespace FloatLease
{
    /// <content>The verbs that wait for their replies. A failure is a <see cref="FloatLeaseException"/>.</content>
    public sealed partial class Client
    {
        /// <summary>
        /// Makes this device known to the license. It takes no slot. Call it once on each machine, before all other
        /// operations.
        /// </summary>
        public LicenseReply ActivateLicense(ActivationRequest request = null) =>
            new LicenseReply(Call("activate_license", JsonMembers.ToJson(request)));

        /// <summary>
        /// Asks the server about the license. On a floating license this takes this device's slot, or renews it.
        /// </summary>
        public LicenseReply CheckLicense(CheckRequest request = null) =>
            new LicenseReply(Call("check_license", JsonMembers.ToJson(request)));

        /// <summary>Makes the license forget this device. The server frees all its slots, borrowed ones too.</summary>
        public EmptyReply DeactivateLicense(DeactivationRequest request = null) =>
            new EmptyReply(Call("deactivate_license", JsonMembers.ToJson(request)));

        /// <summary>
        /// Borrows the license: its slot is this device's until a date, with or without a network. It takes a slot if
        /// the device holds none.
        /// </summary>
        public BorrowReply BorrowLicense(BorrowRequest request = null) =>
            new BorrowReply(Call("borrow_license", JsonMembers.ToJson(request)));

        /// <summary>Gives the license's slot back, borrowed or not.</summary>
        public EmptyReply ReleaseLicense(Request request = null) =>
            new EmptyReply(Call("release_license", JsonMembers.ToJson(request)));

        /// <summary>
        /// Asks the server about a feature. If the feature floats, this takes this device's slot of it, or renews it.
        /// </summary>
        public FeatureReply CheckFeature(FeatureRequest request) =>
            new FeatureReply(Call("check_feature", JsonMembers.ToJson(request)));

        /// <summary>
        /// Borrows a feature whose slot this device holds already. <see cref="CheckFeature"/> takes the slot.
        /// </summary>
        public BorrowReply BorrowFeature(BorrowRequest request) =>
            new BorrowReply(Call("borrow_feature", JsonMembers.ToJson(request)));

        /// <summary>Gives a feature's slot back, borrowed or not.</summary>
        public EmptyReply ReleaseFeature(FeatureRequest request) =>
            new EmptyReply(Call("release_feature", JsonMembers.ToJson(request)));

        /// <summary>Books consumptions on a license of type consumption: all of them or none.</summary>
        public ConsumptionReply AddConsumption(ConsumptionRequest request = null) =>
            new ConsumptionReply(Call("add_consumption", JsonMembers.ToJson(request)));

        /// <summary>Books consumptions on a feature that counts: all of them or none.</summary>
        public ConsumptionReply AddFeatureConsumption(ConsumptionRequest request) =>
            new ConsumptionReply(Call("add_feature_consumption", JsonMembers.ToJson(request)));

        /// <summary>Asks the server about the product: its names, its environments, its latest version.</summary>
        public ProductReply ProductDetails(ProductRequest request = null) =>
            new ProductReply(Call("product_details", JsonMembers.ToJson(request)));

        /// <summary>Books the consumptions that are queued because the server could not be reached.</summary>
        public SyncReply SyncConsumptions(Request request = null) =>
            new SyncReply(Call("sync_consumptions", JsonMembers.ToJson(request)));
    }
}
