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

        /// <summary>Asks the server about the product: its names, its trials, its latest version.</summary>
        public ProductReply ProductDetails(ProductRequest request = null) =>
            new ProductReply(Call("product_details", JsonMembers.ToJson(request)));

        /// <summary>
        /// Gives this device a trial of the product, or returns the one that it has. The reply names the license.
        /// </summary>
        public TrialReply TrialKey(TrialRequest request = null) =>
            new TrialReply(Call("trial_key", JsonMembers.ToJson(request)));

        /// <summary>Lists the versions of the product that the license includes, the newest first.</summary>
        public VersionsReply Versions(VersionsRequest request = null) =>
            new VersionsReply(Call("versions", JsonMembers.ToJson(request)));

        /// <summary>Tells where the file of a version is, by default of the newest.</summary>
        public InstallationFileReply InstallationFile(InstallationFileRequest request = null) =>
            new InstallationFileReply(Call("installation_file", JsonMembers.ToJson(request)));

        /// <summary>Lists the licenses that are active on this device.</summary>
        public LicensesReply DeviceLicenses(Request request = null) =>
            new LicensesReply(Call("device_licenses", JsonMembers.ToJson(request)));

        /// <summary>Lists the values that the server keeps for this device.</summary>
        public DeviceVariablesReply GetDeviceVariables(Request request = null) =>
            new DeviceVariablesReply(Call("get_device_variables", JsonMembers.ToJson(request)));

        /// <summary>Keeps values for this device at the server, and returns them.</summary>
        public DeviceVariablesReply TrackDeviceVariables(DeviceVariablesRequest request) =>
            new DeviceVariablesReply(Call("track_device_variables", JsonMembers.ToJson(request)));

        /// <summary>
        /// Changes the password of the user. The config of this client keeps the old one, so open a new client.
        /// </summary>
        public EmptyReply ChangePassword(PasswordRequest request) =>
            new EmptyReply(Call("change_password", JsonMembers.ToJson(request)));

        /// <summary>
        /// Lists the licenses of the product that the user may use. It needs no device and no activation.
        /// </summary>
        public UserLicensesReply UserLicenses(Request request = null) =>
            new UserLicensesReply(Call("user_licenses", JsonMembers.ToJson(request)));

        /// <summary>Tells where a user of a customer account signs in by single sign-on.</summary>
        public SsoUrlReply SsoUrl(SsoUrlRequest request) =>
            new SsoUrlReply(Call("sso_url", JsonMembers.ToJson(request)));

        /// <summary>
        /// Activates the licenses of a bundle on this device. <see cref="Request.Product"/> names the
        /// bundle, if the config has no <see cref="LicenseIdentity.BundleCode"/>.
        /// </summary>
        public LicensesReply ActivateBundle(ActivationRequest request = null) =>
            new LicensesReply(Call("activate_bundle", JsonMembers.ToJson(request)));

        /// <summary>
        /// Checks the licenses of a bundle. It takes this device's slots of those that float, or renews them.
        /// </summary>
        public LicensesReply CheckBundle(CheckRequest request = null) =>
            new LicensesReply(Call("check_bundle", JsonMembers.ToJson(request)));

        /// <summary>
        /// Makes the licenses of a bundle forget this device. The server frees all its slots of them, borrowed ones
        /// too.
        /// </summary>
        public EmptyReply DeactivateBundle(DeactivationRequest request = null) =>
            new EmptyReply(Call("deactivate_bundle", JsonMembers.ToJson(request)));

        /// <summary>Books the consumptions that are queued because the server could not be reached.</summary>
        public SyncReply SyncConsumptions(Request request = null) =>
            new SyncReply(Call("sync_consumptions", JsonMembers.ToJson(request)));
    }
}
